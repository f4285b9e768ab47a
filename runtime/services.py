"""Objects that the nodes of a session share, such as the model store: one of each class."""

from __future__ import annotations

from typing import Any, TypeVar, cast

Service = TypeVar("Service")


class Services:
    """Shared objects by class, each made on first request by calling its class.

    Parameters
    ----------
    given : objects
        Used instead of making new ones (a store with another memory limit, say).
    """

    def __init__(self, *given: Any) -> None:
        self._made: dict[type, Any] = {type(service): service for service in given}

    def get(self, kind: type[Service]) -> Service:
        """The session's object of this class."""
        if kind not in self._made:
            self._made[kind] = kind()
        return cast(Service, self._made[kind])
