"""Objects that the nodes of a session share, such as the model store: one of each class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from run_graph.runtime.events import Event, RunView

Service = TypeVar("Service")


@runtime_checkable
class RunObserver(Protocol):
    """A service that wants to know of the runs that it serves."""

    def run_started(self, run: RunView) -> None:
        """A run begins, or has begun and asks for this service the first time."""
        ...

    def observe(self, event: Event) -> None:
        """An event of the run, before its listener gets it; the last is a ``RunFinished``."""
        ...


@runtime_checkable
class MemoryGate(Protocol):
    """A service that knows whether models fit in memory."""

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a node with these inputs can compute without another model leaving."""
        ...


class Services:
    """Shared objects by class, each made on first request by calling its class.

    Parameters
    ----------
    given : objects
        Used instead of making new ones (a store with another memory limit, say).

    Attributes
    ----------
    observers : list
        Those that follow runs: they get every event.
    """

    def __init__(self, *given: Any) -> None:
        self._made: dict[type, Any] = {type(service): service for service in given}
        # Kept, since asking whether an object fits a protocol takes longer than most nodes' events.
        self.observers = [service for service in given if isinstance(service, RunObserver)]
        self._run: RunView | None = None

    def get(self, kind: type[Service]) -> Service:
        """The session's object of this class."""
        if kind not in self._made:
            self._made[kind] = made = kind()
            if isinstance(made, RunObserver):
                self.observers.append(made)
                if self._run is not None:
                    made.run_started(self._run)
        return cast(Service, self._made[kind])

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a service vouches that a node with these inputs makes no model leave memory."""
        keepers = [service for service in self._made.values() if isinstance(service, MemoryGate)]
        return any(keeper.has_room_for(values) for keeper in keepers)

    def run_started(self, run: RunView) -> None:
        """Tell the services that follow runs, now and when they are made, of this one."""
        self._run = run
        for service in self.observers:
            service.run_started(run)

    def run_ended(self) -> None:
        """Services that are made from now on need not be told of the run."""
        self._run = None
