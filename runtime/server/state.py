"""What the routes of a server share."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from run_graph.graph.registry import Registry
from run_graph.runtime.server.folders import Folders
from run_graph.runtime.server.history import History
from run_graph.runtime.server.hub import Hub
from run_graph.runtime.server.queue import PromptQueue
from run_graph.runtime.server.settings import ServerSettings
from run_graph.runtime.server.worker import Worker

_KEPT_LINES = 300
COMFYUI_VERSION = "0.33.0"
"""The version of ComfyUI whose interface this is; its editor and clients parse it."""


class Log:
    """What the server tells: lines on standard error, of which the last are kept for the editor's panel."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, str]] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Tell a line, or several."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock:
            self._lines.append({"t": stamp, "m": f"{text}\n"})
        printable = "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
        with contextlib.suppress(OSError):  # nobody reads it
            print(f"run-graph: {printable}", file=sys.stderr, flush=True)

    def entries(self) -> list[dict[str, str]]:
        """The last lines, each with its time ``t`` and text ``m``."""
        with self._lock:
            return list(self._lines)


@dataclass(frozen=True)
class ServerState:
    """The parts of one server.

    ``started`` is when it began, seconds on the monotonic clock.
    """

    settings: ServerSettings
    registry: Registry
    folders: Folders
    queue: PromptQueue
    history: History
    hub: Hub
    worker: Worker
    log: Log
    started: float = field(default_factory=time.monotonic)


def features(settings: ServerSettings) -> dict[str, object]:
    """What the server can do, for clients that ask; ``max_upload_size`` is in bytes."""
    return {
        "supports_preview_metadata": True,
        "max_upload_size": settings.limits.body,
        "assets": False,
        "extension": {"manager": {"supports_v4": False}},
    }
