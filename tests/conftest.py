"""What all tests share: a cache folder of their own, and helper modules beside the tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The built-in model is made anew for each test session, and the user's cache stays as it is."""
    before = os.environ.get("RUN_GRAPH_CACHE")
    os.environ["RUN_GRAPH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["RUN_GRAPH_CACHE"]
    else:
        os.environ["RUN_GRAPH_CACHE"] = before
