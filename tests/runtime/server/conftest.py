"""One server for all tests, which must leave its queue empty."""

from collections.abc import Iterator

import pytest
from server_process import Server, waited


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The module's server with nothing queued."""
    shared_server.post("/queue", {"clear": True})
    shared_server.post("/interrupt")
    waited(lambda: shared_server.get("/prompt").json()["exec_info"]["queue_remaining"] == 0)
    return shared_server
