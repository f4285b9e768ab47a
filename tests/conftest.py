"""What all tests share: helper modules lie beside the tests that use them."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before numpy is imported. On a busy machine, BLAS's other threads cost far more time than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect() -> None:
    """Many tests collect garbage, and would each walk all tests, modules and schemas: seconds at a time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _no_results_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures of a module or the session run models too, before a test has a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN_GRAPH_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield


@pytest.fixture(autouse=True)
def _own_results(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the results of another, or of the user's own runs."""
    monkeypatch.setenv("RUN_GRAPH_RESULTS", str(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with FLUX and Redux that are smaller than ``tiny``: a run takes a fraction of a second."""
    from small import SMALL

    from training.layout.make import make_checkpoint

    folder = tmp_path_factory.mktemp("models") / "small"
    make_checkpoint(folder, SMALL)
    return str(folder)
