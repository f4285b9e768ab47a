"""Finding and identifying input files."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path


class InputNotFoundError(FileNotFoundError):
    """An input file is not in any of the folders searched; the message lists the folders."""


def find_input(name: str, folders: Sequence[Path]) -> Path:
    """The file called `name` in the first of `folders` that has it.

    Parameters
    ----------
    name : str
        A path relative to the folders, or an absolute one; ``~`` is the home folder. A backslash counts as a
        separator where no file has it in its name.
    folders : sequence of Path
        Where to look, in order.

    Raises
    ------
    InputNotFoundError
        If no folder has the file. The message lists the folders searched and files with similar names.
    """
    wanted = os.path.expanduser(name)
    candidates = (
        [Path(folder) / wanted for folder in folders] if not os.path.isabs(wanted) else [Path(wanted)]
    )
    for candidate in candidates:
        if name and os.path.isfile(candidate):
            return candidate
    for candidate in candidates:
        if name and (alike := _with_other_accents(candidate)) is not None:
            return alike
    if "\\" in name and os.sep != "\\":  # a workflow that was written on Windows
        with contextlib.suppress(InputNotFoundError):
            return find_input(name.replace("\\", "/"), folders)
    looked = list(dict.fromkeys(str(candidate.parent) for candidate in candidates))
    message = f"no file {name!r}; looked in {', '.join(looked)}"
    if close := _similar(os.path.basename(wanted), looked):
        message += f"; did you mean {' or '.join(repr(other) for other in close)}?"
    raise InputNotFoundError(message)


def _with_other_accents(path: Path) -> Path | None:
    """The file with the same name in another Unicode form: macOS decomposes accents, others do not."""
    if str(path).isascii():
        return None
    wanted = unicodedata.normalize("NFC", path.name)
    with contextlib.suppress(OSError):
        for entry in os.scandir(path.parent):
            if unicodedata.normalize("NFC", entry.name) == wanted and entry.is_file():
                return Path(entry.path)
    return None


def digest(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _similar(name: str, folders: Iterable[str]) -> list[str]:
    """Up to three file names in `folders` that look like `name`."""
    present: list[str] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            present += sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    return difflib.get_close_matches(name, dict.fromkeys(present), n=3)
