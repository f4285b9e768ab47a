"""What a command says when its run was stopped: how far it was, and how to go on."""

from __future__ import annotations

from run_graph.runtime.events import Event, NodeFinished, NodeInterrupted, NodeReused, RunStarted


class Ending:
    """A listener that knows how to go on after an interruption.

    Parameters
    ----------
    keeps_results : bool
        Whether what was computed is kept for the next run.
    """

    def __init__(self, *, keeps_results: bool) -> None:
        self._keeps_results = keeps_results
        self._targets: set[str] = set()
        self._total = 0
        self._finished = 0
        self._interrupted: NodeInterrupted | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._targets = set(event.targets)
            self._total = len(event.targets)
        elif isinstance(event, NodeFinished | NodeReused):
            self._finished += 1
            self._targets.discard(event.node_id)
        elif isinstance(event, NodeInterrupted):
            self._interrupted = event

    def text(self, how: str) -> str:
        """The message; ``how`` is its beginning, such as "interrupted"."""
        done = self._total - len(self._targets)
        after = f" after {done} of {self._total}" if self._total > 1 else ""
        return f"{how}{after}; {self._advice()}"

    def _advice(self) -> str:
        node = self._interrupted
        if not self._keeps_results:
            return "run it again to start over: --no-cache keeps nothing"
        if node and node.value:
            return f"run it again to go on from step {node.value} of {node.maximum}"
        if self._finished:
            return "run it again to go on: the finished stages are kept"
        return "run it again to start over: no stage was finished"
