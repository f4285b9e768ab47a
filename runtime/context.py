"""What running nodes are given: files, services, progress and the way to stop."""

from __future__ import annotations

import threading
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
        self._asked = threading.Event()

    def cancel(self) -> None:
        """Ask for it; the run raises `Cancelled` at its next step."""
        self._asked.set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` if `cancel` was called."""
        if self._asked.is_set():
            raise Cancelled("the run was cancelled")


@dataclass(slots=True)
class NodeContext:
    """The context of one node's run (:class:`graph.Context`)."""

    node_id: str
    surroundings: Surroundings
    services: Services
    emit: Listener
    token: CancelToken
    describe_run: Callable[[], dict[str, Any]]
    own_half: Callable[[], Half] = NoHalf

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
        return self.own_half().load()

    def save_half(self, **items: Any) -> None:
        self.own_half().save(items)

    def provenance(self) -> dict[str, Any]:
        return self.describe_run()
