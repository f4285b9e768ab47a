"""The editor's settings, in one file of the user's folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from run_graph.runtime.files.atomic import write_atomically

_FILE = "comfy.settings.json"
# Without it the editor opens its gallery of templates in front of the graph.
_AT_FIRST: Mapping[str, Any] = {"Comfy.TutorialCompleted": True}


class Preferences:
    """Values by name. Safe to use from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()

    def all(self) -> dict[str, Any]:
        """All of them, and those that a new user begins with. A damaged file counts as empty."""
        try:
            stored = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            stored = {}
        return {**_AT_FIRST, **(stored if isinstance(stored, dict) else {})}

    def change(self, values: Mapping[str, Any]) -> None:
        """Set some; the others stay. Raises SaveError."""
        with self._lock:
            text = json.dumps({**self.all(), **values}, indent=2)
            write_atomically(self._path, text.encode(), overwrite=True)
