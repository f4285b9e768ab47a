"""What a node can use besides its inputs. The runtime implements these protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

Service = TypeVar("Service")


class Environment(Protocol):
    """Where files are read and written. Validation and fingerprints may depend on nothing else."""

    @property
    def output_directory(self) -> Path:
        """The folder that output nodes write into."""
        ...

    def find_input(self, name: str) -> Path:
        """The path of an input file; a relative name is first looked for beside the workflow file.

        Raises
        ------
        OSError
            If there is no such file, or a workflow that came in a picture may not read it; the message
            lists the folders that were searched, or says how to allow it.
        """
        ...

    def find_model(self, name: str) -> Path:
        """The path of a model's file, found as `find_input` finds one; it may lie anywhere.

        Raises
        ------
        OSError
            If there is no such file.
        """
        ...

    def digest_of_input(self, name: str) -> str:
        """The SHA-256 of an input file's content, for fingerprints: 64 hexadecimal digits.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        """
        ...


class Context(Environment, Protocol):
    """The argument of :meth:`graph.Node.run`: files, progress, shared services and resume state."""

    @property
    def node_id(self) -> str:
        """The id of the node that is running."""
        ...

    def read_input(self, name: str) -> bytes:
        """The content of an input file.

        A file may be replaced after the run was planned. A result is kept only if what this returned is what
        the fingerprint named with `digest_of_input`, under the same name. Otherwise the result is used in
        this run and computed again in the next. For files that a node opens itself, the engine can only
        compare the fingerprint once more after the node has run.

        Raises
        ------
        OSError
            If there is no such file, or it cannot be read.
        """
        ...

    def progress(
        self, value: int, maximum: int, preview: Any = None, picture: Callable[[], Any] | None = None
    ) -> None:
        """Report that ``value`` of ``maximum`` steps are done. Raises if the run was cancelled.

        ``preview`` is the state under way, which listeners get a copy of. ``picture`` makes a small picture
        of it, (pictures, height, width, 3) uint8, if a listener asks for one.

        Raises
        ------
        Cancelled
            (runtime) If the run was asked to stop.
        """
        ...

    def warn(self, message: str) -> None:
        """Report something that the user should know although nothing has failed, such as a text cut short.

        A message is reported once in a run.

        Raises
        ------
        ValueError
            With the message, if the run is strict.
        """
        ...

    def service(self, kind: type[Service]) -> Service:
        """The session's shared instance of a class, such as the model store; created on first use."""
        ...

    def resume_state(self) -> dict[str, Any] | None:
        """What `save_state` last saved in an interrupted run of this node with the same inputs.

        None if there is nothing to resume from. Report the steps that it holds with `progress` before the
        next one, so that the user is told where the work goes on.
        """
        ...

    def save_state(self, **items: Any) -> None:
        """Save arrays and plain values, so that the next run can resume here if this one is interrupted.

        Cheap enough to call at every step: a call that comes too soon after the last one saves nothing. Call
        it before the step is reported with `progress`.
        """
        ...

    def file_saved(self, path: Path) -> None:
        """Report that a file was written, as soon as it is complete."""
        ...

    def provenance(self) -> dict[str, Any]:
        """Facts about this run that an output node may store with its result, as plain JSON values.

        Keys: ``prompt``, the graph that was run in API format; ``seconds`` for each finished stage;
        ``versions``; ``input_directories``, the folders that were searched for input files; and ``node_id``,
        the node's own id in ``prompt``.
        """
        ...
