"""How files are named in what a picture says about itself: without absolute paths and the user's name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from run_graph.runtime.files.inputs import InputNotFoundError, find_input

_HOME = "~"


class RecordedNames:
    """Names for the files and folders that a run used.

    A name that is relative already stays. A path becomes, in this order: a name relative to one of the
    folders where inputs are looked for; ``~/...`` if it lies in the home folder; relative to the first of
    those folders, if both lie in the working directory; else only its last part.

    Parameters
    ----------
    folders : sequence of path
        Where relative input names are looked for, in order.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self._folders = [Path(folder) for folder in folders]
        self._known: dict[str, str] = {}

    def document(self, value: Any) -> Any:
        """A JSON value with every path of an existing file or folder replaced by its name."""
        if isinstance(value, str):
            return self.name(value)
        if isinstance(value, Mapping):
            return {key: self.document(item) for key, item in value.items()}
        return [self.document(item) for item in value] if isinstance(value, list) else value

    def name(self, text: str) -> str:
        """The name of a path; any other text unchanged."""
        if not _leads_elsewhere(text):
            return text
        if text not in self._known:
            self._known[text] = self._name(text)
        return self._known[text]

    def folder(self, folder: str | Path, start: Path) -> str | None:
        """An input folder as a picture in `start` names it; None if it cannot without an absolute path.

        Relative to `start` if both lie in the working directory, so that a project can be moved as a whole.
        """
        real, beginning = os.path.realpath(folder), os.path.realpath(start)
        if _is_below(real, beginning) or (_is_below(real, self._here) and _is_below(beginning, self._here)):
            return os.path.relpath(real, beginning)
        return self._from_home(real)

    def _name(self, text: str) -> str:
        try:
            found = find_input(text, self._folders)
        except (InputNotFoundError, OSError, ValueError):
            found = Path(os.path.expanduser(text))
            if not found.is_absolute() or not found.exists():
                return text
        real = os.path.realpath(found)
        for folder in self._folders:
            if _is_below(real, place := os.path.realpath(folder)):
                relative = os.path.relpath(real, place)
                if self._leads_back(relative, real):
                    return relative
        if (name := self._from_home(real)) is not None:
            return name
        first = os.path.realpath(self._folders[0]) if self._folders else self._here
        if _is_below(real, self._here) and _is_below(first, self._here):
            return os.path.relpath(real, first)
        return os.path.basename(real)

    def _leads_back(self, name: str, real: str) -> bool:
        """Whether a relative name finds the file itself, rather than another in an earlier folder."""
        if os.path.isdir(real):
            return os.path.realpath(name) == real
        try:
            return os.path.samefile(find_input(name, self._folders), real)
        except OSError:
            return False

    def _from_home(self, real: str) -> str | None:
        if self._home is None or not _is_below(real, self._home):
            return None
        relative = os.path.relpath(real, self._home)
        return _HOME if relative == os.curdir else os.path.join(_HOME, relative)

    @cached_property
    def _here(self) -> str:
        return os.path.realpath(os.curdir)

    @cached_property
    def _home(self) -> str | None:
        home = os.path.expanduser(_HOME)
        return os.path.realpath(home) if os.path.isabs(home) and os.path.dirname(home) != home else None


def shareable(documents: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A picture's documents (:mod:`runtime.images.metadata`) without absolute paths and the user's name.

    Parameters
    ----------
    documents : mapping
        JSON values; ``input_directories`` of the document ``run_graph`` holds absolute paths.
    folder : Path
        The folder of the picture.
    """
    places = documents["run_graph"]["input_directories"]
    names = RecordedNames(places)
    named: dict[str, Any] = names.document(documents)
    found = (names.folder(place, folder) for place in places)
    named["run_graph"]["input_directories"] = [place for place in found if place is not None]
    return named


def recorded_folder(name: str, start: Path) -> Path:
    """The folder that a picture in `start` names with `RecordedNames.folder`."""
    return start / os.path.expanduser(name)


def _leads_elsewhere(text: str) -> bool:
    """Whether a text may be a path that says something about the rest of the disk."""
    return os.path.isabs(text) or (text.startswith((_HOME, "..")) and "\n" not in text)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
