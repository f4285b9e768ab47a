"""What running nodes are given: progress that can stop the run, files, shared services."""

from pathlib import Path

import pytest

from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import CancelToken, NodeContext, RunContext, RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, NodeProgress
from run_graph.runtime.files.inputs import InputNotFoundError


def context(folder: Path, events: list[Event], token: CancelToken, services: Services) -> NodeContext:
    environment = RunEnvironment([folder / "a", folder / "b"], folder / "out")
    run = RunContext(
        lambda node_id: environment, services, NoCache(), events.append, token, lambda *_: {"prompt": {}}
    )
    return NodeContext("node", run, "snapshot")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


@pytest.fixture
def ctx(tmp_path: Path, events: list[Event], token: CancelToken) -> NodeContext:
    return context(tmp_path, events, token, Services())


def test_progress_becomes_an_event_of_this_node(ctx: NodeContext, events: list[Event]) -> None:
    ctx.progress(1, 4, preview="picture")
    assert events == [NodeProgress("node", 1, 4, "picture")]


def test_progress_stops_a_cancelled_run_after_reporting(
    ctx: NodeContext, events: list[Event], token: CancelToken
) -> None:
    token.cancel()
    with pytest.raises(Cancelled):
        ctx.progress(2, 4)
    assert len(events) == 1


def test_inputs_are_found_in_the_first_folder_that_has_them(ctx: NodeContext, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "x.png").touch()
    assert ctx.find_input("x.png") == tmp_path / "b" / "x.png"
    (tmp_path / "a" / "x.png").touch()
    assert ctx.find_input("x.png") == tmp_path / "a" / "x.png"
    with pytest.raises(InputNotFoundError, match=r"looked in .*a, .*b"):
        ctx.find_input("y.png")


def test_outputs_go_to_the_output_folder_and_provenance_is_the_runs(ctx: NodeContext, tmp_path: Path) -> None:
    assert ctx.output_directory == tmp_path / "out"
    assert ctx.provenance() == {"prompt": {}}


def test_nodes_of_a_session_share_one_object_of_each_class(tmp_path: Path) -> None:
    class Store:
        pass

    services = Services()
    first, second = (context(tmp_path, [], CancelToken(), services) for _ in range(2))
    assert first.service(Store) is second.service(Store)
    given = Store()
    assert context(tmp_path, [], CancelToken(), Services(given)).service(Store) is given
