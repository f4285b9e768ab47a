"""Objects that the nodes of a session share, such as the model store: one of each class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from run_graph.runtime.events import Event, RunView

Service = TypeVar("Service")


@runtime_checkable
class RunObserver(Protocol):
    """A service that follows the runs that it serves."""

    def run_started(self, run: RunView) -> None:
        """A run begins, or has begun already and asks for this service for the first time."""
        ...

    def observe(self, event: Event) -> None:
        """An event of the run, before its listener gets it; the last is a ``RunFinished``."""
        ...


@runtime_checkable
class MemoryGate(Protocol):
    """A service that decides whether models fit in memory."""

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a node with these inputs can compute without another model being evicted."""
        ...


class Services:
    """Shared objects by class, each made on first request by calling its class.

    Parameters
    ----------
    given : objects
        Used instead of making new ones (a store with another memory limit, say).

    Attributes
    ----------
    observers : list of RunObserver
        The services that follow runs: they get every event.
    """

    def __init__(self, *given: Any) -> None:
        # Sorted once, since asking whether an object fits a protocol takes longer than most nodes' events.
        self.observers: list[RunObserver] = []
        self._memory_gates: list[MemoryGate] = []
        self._by_class: dict[type, Any] = {}
        self._run: RunView | None = None
        for service in given:
            self._add(service)

    def get(self, kind: type[Service]) -> Service:
        """The session's object of this class."""
        if kind not in self._by_class:
            made = kind()
            self._add(made)
            if self._run is not None and isinstance(made, RunObserver):
                made.run_started(self._run)
        return cast(Service, self._by_class[kind])

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a service says that a node with these inputs can compute without a model being evicted."""
        return any(gate.has_room_for(values) for gate in self._memory_gates)

    def run_started(self, run: RunView) -> None:
        """Announce a run to the services that follow runs, including those made while it lasts."""
        self._run = run
        for service in self.observers:
            service.run_started(run)

    def run_ended(self) -> None:
        """Forget the run: services made from now on do not belong to it."""
        self._run = None

    def _add(self, service: Any) -> None:
        self._by_class[type(service)] = service
        if isinstance(service, RunObserver):
            self.observers.append(service)
        if isinstance(service, MemoryGate):
            self._memory_gates.append(service)
