"""What running nodes are given: files, services, progress and a way to stop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from run_graph.runtime.cache import ResultCache
from run_graph.runtime.cache.snapshots import Snapshot
from run_graph.runtime.engine.services import Services
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import FileSaved, Listener, NodeProgress, NodeResumed, NodeWarned
from run_graph.runtime.files.bounds import Bounds
from run_graph.runtime.files.inputs import digest, find_input
from run_graph.runtime.handing_out import for_caller

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Service = TypeVar("Service")


@dataclass(frozen=True)
class RunEnvironment:
    """Where a run reads and writes (:class:`graph.Environment`).

    Attributes
    ----------
    input_directories : sequence of Path
        Where relative input names are looked for, in this order.
    output_directory : Path
        Created when the first file is written.
    bounds : Bounds, optional
        The files that may be read. Default: all.
    documents : mapping
        JSON values by name that saved pictures carry beside the graph. Default: ``workflow``, the graph as a
        file of ComfyUI's editor.
    """

    input_directories: Sequence[Path]
    output_directory: Path
    bounds: Bounds | None = None
    documents: Mapping[str, Any] | None = None

    def find_input(self, name: str) -> Path:
        path = find_input(name, self.input_directories)
        return path if self.bounds is None else self.bounds.check(path)

    def find_model(self, name: str) -> Path:
        return find_input(name, self.input_directories)

    def digest_of_input(self, name: str) -> str:
        return digest(self.find_input(name))


class CancelToken:
    """Asks a run to stop at its next step. Safe to set from any thread or signal handler."""

    def __init__(self) -> None:
        self._asked = False

    def cancel(self) -> None:
        """Stop the run: it raises `Cancelled` at its next step."""
        self._asked = True

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if `cancel` was called."""
        if self._asked:
            raise Cancelled("the run was cancelled")


@dataclass(frozen=True)
class RunContext:
    """What all nodes of a run share.

    Attributes
    ----------
    environment_of : callable
        Where a node reads and writes, by its id.
    services : Services
    cache : ResultCache
        Asked before a node runs, and given what each node computes.
    emit : callable
        Gets the nodes' events.
    token : CancelToken
        Checked between nodes; nodes check it between their steps.
    describe : callable
        Given a node's id and the seconds of the finished nodes, what the node may write beside its result.
    seconds : dict
        Seconds that each finished node took, by id, including those of interrupted runs that it resumed.
    strict : bool
        Whether a warning fails its node.
    warned : set
        The warnings reported so far.
    """

    environment_of: Callable[[str], RunEnvironment]
    services: Services
    cache: ResultCache
    emit: Listener
    token: CancelToken
    describe: Callable[[str, Mapping[str, float]], dict[str, Any]]
    seconds: dict[str, float] = field(default_factory=dict)
    strict: bool = False
    warned: set[str] = field(default_factory=set)


@dataclass(slots=True)
class NodeContext:
    """The context of one node's run (:class:`graph.Context`).

    ``snapshot_name`` names the node's resume state in the cache; ``opened_snapshot`` is that state once the
    node has asked for it. ``kept`` are the steps that it holds, of how many. ``reads`` has the digests of the
    input files that it has read, by name.
    """

    node_id: str
    run: RunContext
    snapshot_name: str
    opened_snapshot: Snapshot | None = None
    kept: tuple[int, int] = (0, 0)
    _resumed: bool = False  # and the next progress says from which step
    _saved: bool = False  # and the next progress says which step that was
    _skipped: dict[str, Any] | None = None  # the newest state, if it came too soon after the last one
    _skipped_at: tuple[int, int] | None = None  # and the step that progress named after it
    reads: dict[str, str] = field(default_factory=dict)

    @property
    def output_directory(self) -> Path:
        return self.run.environment_of(self.node_id).output_directory

    def find_input(self, name: str) -> Path:
        return self.run.environment_of(self.node_id).find_input(name)

    def find_model(self, name: str) -> Path:
        return self.run.environment_of(self.node_id).find_model(name)

    def digest_of_input(self, name: str) -> str:
        return self.run.environment_of(self.node_id).digest_of_input(name)

    def read_input(self, name: str) -> bytes:
        content = self.find_input(name).read_bytes()
        self.reads[name] = hashlib.sha256(content).hexdigest()
        return content

    def progress(
        self,
        value: int,
        maximum: int,
        preview: Any = None,
        picture: Callable[[], npt.NDArray[np.uint8]] | None = None,
    ) -> None:
        if self._resumed:
            self.run.emit(NodeResumed(self.node_id, value, maximum))
        if self._resumed or self._saved:
            self.kept = (value, maximum)
            self._resumed = self._saved = False
        if self._skipped_at is None:
            self._skipped_at = (value, maximum)
        # A copy: the node goes on with its own.
        self.run.emit(NodeProgress(self.node_id, value, maximum, for_caller(preview), picture))
        self.run.token.raise_if_cancelled()

    def warn(self, message: str) -> None:
        if self.run.strict:
            raise ValueError(message)
        if message not in self.run.warned:
            self.run.warned.add(message)
            self.run.emit(NodeWarned(self.node_id, message))

    def service(self, kind: type[Service]) -> Service:
        return self.run.services.get(kind)

    def resume_state(self) -> dict[str, Any] | None:
        state = self._open_snapshot().load()
        self._resumed = state is not None
        return state

    def save_state(self, **items: Any) -> None:
        saved = self._open_snapshot().save(items)
        self._saved = self._saved or saved
        self._skipped, self._skipped_at = (None if saved else items), None

    def save_skipped_state(self) -> None:
        """The node was interrupted: save its newest state, which came too soon after the last one."""
        if self._skipped is None or self._skipped_at is None:
            return
        if self._open_snapshot().save(self._skipped, now=True):
            self.kept = self._skipped_at
        self._skipped = None

    def file_saved(self, path: Path) -> None:
        self.run.emit(FileSaved(self.node_id, str(path)))

    def provenance(self) -> dict[str, Any]:
        return self.run.describe(self.node_id, self.run.seconds)

    def _open_snapshot(self) -> Snapshot:
        if self.opened_snapshot is None:
            self.opened_snapshot = self.run.cache.snapshot(self.snapshot_name)
        return self.opened_snapshot
