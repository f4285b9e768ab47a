"""Events: everything that a run reports, as plain data.

Progress lines, ``--json``, previews, statistics and (later) a server's messages all come from this one
stream. A listener is any callable that takes an event. All listeners get the same object and must not change
it. (Nothing enforces that: it would double the cost of an event, and each node sends two.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ReferenceType

from run_graph.graph.node import Outputs
from run_graph.runtime.handing_out import for_reader, outputs_for

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Held = ReferenceType[Outputs] | None


@dataclass(slots=True)
class Event:
    """Base of all events. ``kind`` names the event in JSON lines."""

    kind: ClassVar[str] = "event"

    def to_json(self) -> dict[str, Any]:
        """The event's line for ``--json``: its ``kind`` as ``event``, and its fields."""
        return {"event": self.kind, **asdict(self)}


@dataclass(slots=True)
class RunStarted(Event):
    """The run begins: this number of ``nodes`` will be computed or found, for ``targets``."""

    kind: ClassVar[str] = "run_started"
    nodes: int
    targets: tuple[str, ...]


@dataclass(slots=True)
class NodeStarted(Event):
    """A node begins to compute."""

    kind: ClassVar[str] = "node_started"
    node_id: str
    class_type: str


@dataclass(slots=True)
class NodeProgress(Event):
    """``value`` of ``maximum`` steps of a node are done. Neither preview nor picture is written to JSON.

    In the transformer's scale it is, for FluxSample, the packed latents under way,
    (pictures, height/16 * width/16, 64); for ComfyUI's samplers the latents of the pictures that the step
    aimed at, (batch, height/8, width/8, 16).

    ``picture()`` shows what the step aimed at, small: (pictures, height/8, width/8, 3) uint8. It is computed
    when it is called, which a listener may do until it returns.
    """

    kind: ClassVar[str] = "node_progress"
    node_id: str
    value: int
    maximum: int
    preview: Any = None
    picture: Callable[[], npt.NDArray[np.uint8]] | None = None

    def to_json(self) -> dict[str, Any]:
        return {"event": self.kind, "node_id": self.node_id, "value": self.value, "maximum": self.maximum}


@dataclass(slots=True)
class NodeResumed(Event):
    """A node goes on where an interrupted run left it: ``value`` of ``maximum`` steps are done already."""

    kind: ClassVar[str] = "node_resumed"
    node_id: str
    value: int
    maximum: int


@dataclass(slots=True)
class NodeInterrupted(Event):
    """The run stops in this node or just before it. The next run goes on from step ``value`` of ``maximum``.

    0 of 0: this run has kept nothing of the node.
    """

    kind: ClassVar[str] = "node_interrupted"
    node_id: str
    value: int
    maximum: int


@dataclass(slots=True)
class FileSaved(Event):
    """A node has written a file, which is complete and on the disk."""

    kind: ClassVar[str] = "file_saved"
    node_id: str
    path: str


@dataclass(slots=True)
class NodeFinished(Event):
    """A node is done. ``result`` holds those of its outputs that are plain JSON values or lists of texts.

    ``key`` names the result in the cache.

    ``outputs()`` returns all outputs, whose arrays are read-only or copies; None in another process. They are
    not part of the JSON. The event holds them weakly, so that a listener that keeps events does not keep
    pictures in memory: take what is needed while the event is delivered.
    """

    kind: ClassVar[str] = "node_finished"
    node_id: str
    class_type: str
    seconds: float
    result: dict[str, Any]
    held: Held = field(default=None, repr=False, compare=False)
    key: str = field(default="", repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # A weak reference cannot be pickled.
        return NodeFinished, (self.node_id, self.class_type, self.seconds, self.result, None, self.key)

    def outputs(self) -> Outputs | None:
        return _held_by(self)

    def to_json(self) -> dict[str, Any]:
        return _without_held(self)


@dataclass(slots=True)
class NodeReused(Event):
    """A node did not run because its result was known.

    ``origin`` says where the result came from: an earlier run (``cache``), an identical node (``duplicate``),
    or a node of the same class and literals that read the same values (``unchanged``).

    ``outputs()`` and ``key`` are as in :class:`NodeFinished`.
    """

    kind: ClassVar[str] = "node_reused"
    node_id: str
    class_type: str
    origin: str
    result: dict[str, Any]
    held: Held = field(default=None, repr=False, compare=False)
    key: str = field(default="", repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        # A weak reference cannot be pickled.
        return NodeReused, (self.node_id, self.class_type, self.origin, self.result, None, self.key)

    def outputs(self) -> Outputs | None:
        return _held_by(self)

    def to_json(self) -> dict[str, Any]:
        return _without_held(self)


@dataclass(slots=True)
class NodeWarned(Event):
    """A node reports something that the user should know although nothing has failed."""

    kind: ClassVar[str] = "node_warning"
    node_id: str
    message: str


@dataclass(slots=True)
class WorkerNote(Event):
    """Something about a cluster that the user should know: ``worker`` is its address, or the scheduler's."""

    kind: ClassVar[str] = "worker_note"
    worker: str
    message: str


@dataclass(slots=True)
class NodeErred(Event):
    """A node raised an exception: ``error`` is its class, ``message`` its text. The run ends.

    Called ``node_failed`` in JSON; the caller gets a :class:`runtime.errors.NodeFailed`.
    """

    kind: ClassVar[str] = "node_failed"
    node_id: str
    class_type: str
    error: str
    message: str


@dataclass(slots=True)
class Downloading(Event):
    """Weights of ``repository`` are being downloaded from the Hugging Face Hub into ``folder``.

    The first such event is sent before anything is fetched. ``done_bytes`` of ``total_bytes`` are there,
    including what an earlier attempt left; ``free_bytes`` were free on the disk before.
    """

    kind: ClassVar[str] = "downloading"
    repository: str
    done_bytes: int
    total_bytes: int
    free_bytes: int
    folder: str


@dataclass(slots=True)
class ModelLoaded(Event):
    """A component of the model ``name`` has been read into memory.

    ``bits`` is its quantisation (None: not quantised), ``nbytes`` the size of its weights, ``resident_bytes``
    the size of all weights in memory now.
    """

    kind: ClassVar[str] = "model_loaded"
    name: str
    component: str
    bits: int | None
    nbytes: int
    resident_bytes: int


@dataclass(slots=True)
class ModelEvicted(Event):
    """A component was evicted, which freed ``nbytes`` and leaves ``resident_bytes`` of weights in memory."""

    kind: ClassVar[str] = "model_evicted"
    name: str
    component: str
    nbytes: int
    resident_bytes: int


@dataclass(slots=True)
class StageMemory(Event):
    """The memory that a node with models uses, just before it finishes.

    ``resident_bytes``: weights; ``active_bytes``: all MLX arrays; ``peak_bytes``: the most that all MLX
    arrays occupied while the node ran.
    """

    kind: ClassVar[str] = "stage_memory"
    node_id: str
    resident_bytes: int
    active_bytes: int
    peak_bytes: int


@dataclass(slots=True)
class RunFinished(Event):
    """The run is over. ``status`` is ``done``, ``failed`` or ``interrupted``; always the last event."""

    kind: ClassVar[str] = "run_finished"
    status: str
    seconds: float


Listener = Callable[[Event], None]

RUN_GRAPH_ONLY = (
    NodeWarned,
    NodeResumed,
    NodeInterrupted,
    Downloading,
    ModelLoaded,
    ModelEvicted,
    StageMemory,
    WorkerNote,
)
"""Events that ComfyUI has no message for. Our server sends them to clients that ask, as their JSON."""


def _held_by(event: NodeFinished | NodeReused) -> Outputs | None:
    outputs = None if event.held is None else event.held()
    return None if outputs is None else outputs_for(for_reader, outputs)


def _without_held(event: NodeFinished | NodeReused) -> dict[str, Any]:
    fields = asdict(event)
    del fields["held"]
    return {"event": event.kind, **fields}


def each_of(*listeners: Listener | None) -> Listener:
    """A listener that passes each event to all of these, in this order; None is skipped."""
    present = [listener for listener in listeners if listener is not None]

    def pass_on(event: Event) -> None:
        for listener in present:
            listener(event)

    return pass_on


def ignore(event: Event) -> None:
    """The listener that does nothing."""


def plain_values(outputs: Outputs) -> dict[str, Any]:
    """The outputs, by name, that are plain JSON values or lists of texts, and can be printed."""
    plain: dict[str, Any] = {}
    for name, value in outputs.__dict__.items():
        if isinstance(value, (str, int, float)) or _is_list_of_texts(value):
            plain[name] = value
    return plain


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
