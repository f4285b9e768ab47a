"""One session's models for all tests of nodes, and contexts to run single nodes in."""

from pathlib import Path
from typing import Any

import pytest

from run_graph.graph.node import Node
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import CancelToken, NodeContext, RunContext, RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.events import Event, NodeProgress, NodeWarned
from run_graph.runtime.models.store import ModelStore

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


class Bench:
    """Runs single nodes and keeps what they emit."""

    def __init__(self, store: ModelStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.environment = RunEnvironment([folder], folder / "out")
        self.token = CancelToken()
        self.events: list[Event] = []

    def run(self, node: Node) -> Any:
        """The node's outputs."""
        run = RunContext(
            lambda node_id: self.environment,
            Services(self.store),
            NoCache(),
            self.events.append,
            self.token,
            lambda *_: PROVENANCE,
        )
        return node.run(NodeContext("node", run, "snapshot"))

    @property
    def steps(self) -> list[tuple[int, int]]:
        """What was reported as done, of how many."""
        return [(event.value, event.maximum) for event in self.events if isinstance(event, NodeProgress)]

    @property
    def warnings(self) -> list[str]:
        """What the nodes warned of."""
        return [event.message for event in self.events if isinstance(event, NodeWarned)]

    @property
    def saved(self) -> list[str]:
        """The files in the output folder."""
        folder = self.environment.output_directory
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture
def bench(store: ModelStore, tmp_path: Path) -> Bench:
    return Bench(store, tmp_path)
