"""Objects that the nodes of a session share, such as the model store: one of each class."""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from run_graph.runtime.events import Event

Service = TypeVar("Service")


@runtime_checkable
class RunObserver(Protocol):
    """A service that follows the runs that it serves."""

    def observe(self, event: Event) -> None:
        """An event of the run :func:`runtime.current_run.current_run`, before its listener gets it.

        The last event of a run is a ``RunFinished``. Events of several runs may come at once, from several
        threads.
        """
        ...


@runtime_checkable
class MemoryGate(Protocol):
    """A service that decides whether models fit in memory."""

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a node with these inputs can compute without another model being evicted."""
        ...


class Services:
    """Shared objects by class, each made on first request by calling its class. Safe to use from any thread.

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
        self._lock = RLock()
        for service in given:
            self._add(service)

    def get(self, kind: type[Service]) -> Service:
        """The session's object of this class."""
        with self._lock:
            if kind not in self._by_class:
                self._add(kind())
            return cast(Service, self._by_class[kind])

    def has_room_for(self, values: Iterable[Any]) -> bool:
        """Whether a service says that a node with these inputs can compute without a model being evicted."""
        return any(gate.has_room_for(values) for gate in self._memory_gates)

    def _add(self, service: Any) -> None:
        self._by_class[type(service)] = service
        if isinstance(service, RunObserver):
            self.observers.append(service)
        if isinstance(service, MemoryGate):
            self._memory_gates.append(service)
