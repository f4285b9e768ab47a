"""The run that the code here works for.

A session may run several workflows at once, each on a thread of its own, and their nodes share services. What
a service reports goes to the run whose node called it, so it asks :func:`current_run` whenever it has
something to report, and remembers no run itself.

The run is a context variable, like a request in a web server. Code that hands work of a run to another thread
runs it in a copy of its own context (``contextvars.copy_context().run``), as ``asyncio.to_thread`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from run_graph.runtime.events import Event


class RunView(Protocol):
    """What a service can see of a run. Can be hashed; no two runs are equal."""

    def emit(self, event: Event) -> None:
        """Add an event to the run's stream."""
        ...

    def pending_values(self) -> Iterator[Any]:
        """The values computed so far that unfinished nodes will read."""
        ...


_CURRENT: ContextVar[RunView | None] = ContextVar("run_graph_run", default=None)


def current_run() -> RunView | None:
    """The run that calls this, or None outside any run."""
    return _CURRENT.get()


def emit(event: Event) -> None:
    """Add an event to the stream of the run that calls this; outside any run it is dropped."""
    run = _CURRENT.get()
    if run is not None:
        run.emit(event)


@contextmanager
def serving(run: RunView) -> Iterator[None]:
    """What is called within works for this run."""
    token = _CURRENT.set(run)
    try:
        yield
    finally:
        _CURRENT.reset(token)
