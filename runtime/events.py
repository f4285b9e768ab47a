"""Events: everything that a run tells the outside, as plain data.

Progress lines, ``--json``, previews, statistics and (later) a server's messages all come from this one
stream. A listener is any callable that takes an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. ``kind`` names the event in JSON lines."""

    kind: ClassVar[str] = "event"

    def to_json(self) -> dict[str, Any]:
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The run begins: ``nodes`` are to be computed or found, for ``targets``."""

    kind: ClassVar[str] = "run_started"
    nodes: int
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    kind: ClassVar[str] = "node_started"
    node_id: str
    class_type: str


@dataclass(frozen=True, slots=True)
class NodeProgress(Event):
    """``value`` of ``maximum`` steps of a node are done. ``preview`` never goes into JSON."""

    kind: ClassVar[str] = "node_progress"
    node_id: str
    value: int
    maximum: int
    preview: Any = None

    def to_json(self) -> dict[str, Any]:
        return {"event": self.kind, "node_id": self.node_id, "value": self.value, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
    """A node is done. ``result`` holds its outputs that are plain JSON values."""

    kind: ClassVar[str] = "node_finished"
    node_id: str
    class_type: str
    seconds: float
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeReused(Event):
    """A node was not run: an earlier run (``cache``) or an identical node (``twin``) had its result."""

    kind: ClassVar[str] = "node_reused"
    node_id: str
    class_type: str
    origin: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeErred(Event):
    kind: ClassVar[str] = "node_failed"
    node_id: str
    class_type: str
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run is over. ``status`` is ``done``, ``failed`` or ``interrupted``; always the last event."""

    kind: ClassVar[str] = "run_finished"
    status: str
    seconds: float


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that does nothing."""
