"""One session's models for all tests of nodes, and contexts to run single nodes in."""

from dataclasses import replace
from pathlib import Path

import pytest
from small import SMALL

from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.testing import NodeBench
from training.layout.make import make_checkpoint

PROVENANCE = {
    "prompt": {
        "made": {"class_type": "MadeElsewhere", "inputs": {}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["made", 0]}},
    },
    "node_id": "save",
    "seconds": {"sample": 1.5},
    "versions": {"run-graph": "0"},
    "input_directories": [],
}


@pytest.fixture(scope="session")
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def bench(store: ModelStore, tmp_path: Path) -> NodeBench:
    return NodeBench(tmp_path, store, provenance=PROVENANCE)


@pytest.fixture(scope="session")
def schnell_like(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small model without guidance and without shift, as schnell is."""
    folder = tmp_path_factory.mktemp("models") / "schnell"
    make_checkpoint(folder, replace(SMALL, guidance=False, dynamic_shift=False))
    return str(folder)
