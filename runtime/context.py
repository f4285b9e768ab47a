"""What running nodes are given: files, services, progress and the way to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from runtime.cache.halves import Half, NoHalf
from runtime.errors import Cancelled
from runtime.events import Listener, NodeProgress
from runtime.files import find_input
from runtime.services import Services

Service = TypeVar("Service")


@dataclass(frozen=True)
class Surroundings:
    """Where a run reads and writes (:class:`graph.Environment`).

    Attributes
    ----------
    input_directories : sequence of Path
        Where relative input names are sought, in this order.
    output_directory : Path
        Created when the first file is written.
    """

    input_directories: Sequence[Path]
    output_directory: Path

    def find_input(self, name: str) -> Path:
        return find_input(name, self.input_directories)


class CancelToken:
    """Asks a run to stop at the next step. Safe to set from any thread or signal handler."""

    def __init__(self) -> None:
        self._asked = False

    def cancel(self) -> None:
        """Ask for it; the run raises `Cancelled` at its next step."""
        self._asked = True

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if `cancel` was called."""
        if self._asked:
            raise Cancelled("the run was cancelled")


def _no_half(node_id: str) -> Half:
    return NoHalf()


@dataclass(slots=True)
class NodeContext:
    """The context of one node's run (:class:`graph.Context`)."""

    node_id: str
    surroundings: Surroundings
    services: Services
    emit: Listener
    token: CancelToken
    describe_run: Callable[[str], dict[str, Any]]  # these two are asked by node id
    half_of: Callable[[str], Half] = _no_half

    @property
    def output_directory(self) -> Path:
        return self.surroundings.output_directory

    def find_input(self, name: str) -> Path:
        return self.surroundings.find_input(name)

    def progress(self, value: int, maximum: int, preview: Any = None) -> None:
        self.emit(NodeProgress(self.node_id, value, maximum, preview))
        self.token.raise_if_cancelled()

    def service(self, kind: type[Service]) -> Service:
        return self.services.get(kind)

    def half(self) -> dict[str, Any] | None:
        return self.half_of(self.node_id).load()

    def save_half(self, **items: Any) -> None:
        self.half_of(self.node_id).save(items)

    def provenance(self) -> dict[str, Any]:
        return self.describe_run(self.node_id)
