"""What a node is given besides its inputs. The runtime implements these protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeVar

Service = TypeVar("Service")


class Environment(Protocol):
    """Where files are read and written: all that validation and fingerprints may depend on."""

    @property
    def output_directory(self) -> Path:
        """The folder that output nodes write into."""
        ...

    def find_input(self, name: str) -> Path:
        """The file that ``name`` means; a relative name is sought beside the workflow file first.

        Raises
        ------
        OSError
            If there is no such file; the message says where it was sought.
        """
        ...


class Context(Environment, Protocol):
    """What :meth:`graph.Node.run` is given."""

    @property
    def node_id(self) -> str:
        """The id of the node that runs."""
        ...

    def progress(self, value: int, maximum: int, preview: Any = None) -> None:
        """Report that ``value`` of ``maximum`` steps are done, and stop here if the run was cancelled.

        Raises
        ------
        Cancelled
            (runtime) If the run was asked to stop.
        """
        ...

    def service(self, kind: type[Service]) -> Service:
        """The session's one object of a class, such as the model store; made when first asked for."""
        ...

    def resume_state(self) -> dict[str, Any] | None:
        """What `save_state` saved in an earlier run of this very node, with the same inputs, that was broken
        off; None if there is nothing to go on with."""
        ...

    def save_state(self, **items: Any) -> None:
        """Keep arrays and plain values, so that the next run goes on from here if this one is broken off.

        Cheap enough to be called at every step: what follows too soon upon another is passed over.
        """
        ...

    def provenance(self) -> dict[str, Any]:
        """What an output node may write beside its result: the graph as run (``prompt``, in API
        format), ``seconds`` per finished stage, ``versions``, and ``input_directories``, where inputs were
        searched for, and ``node_id``, the node's id in ``prompt``. Plain JSON values."""
        ...
