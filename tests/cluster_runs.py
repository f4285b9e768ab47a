"""Runs on a cluster in tests, with every event kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from run_graph.graph import Registry, Workflow
from run_graph.runtime.cache import NoCache, ResultCache
from run_graph.runtime.cluster.start import on_cluster
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.session import RunResult, Session
from run_graph.runtime.events import Event, Listener, ignore


class ClusterRun:
    """A session on a cluster that remembers the events of its latest run."""

    def __init__(
        self, address: str, registry: Registry | None = None, cache: ResultCache | None = None
    ) -> None:
        self.session = Session(registry, NoCache() if cache is None else cache, executor=on_cluster(address))
        self.events: list[Event] = []
        self.token = CancelToken()

    def run(
        self,
        workflow: Workflow,
        targets: Iterable[str] | None = None,
        on_event: Listener = ignore,
        folder: Path = Path(),
    ) -> RunResult:
        """Run; files are read and written in ``folder``."""
        self.events, self.token = [], CancelToken()

        def keep(event: Event) -> None:
            self.events.append(event)
            on_event(event)

        environment = RunEnvironment([folder], folder / "output")
        return self.session.run(
            workflow, targets=targets, environment=environment, on_event=keep, token=self.token
        )

    def of(self, kind: str) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if event.kind == kind]
