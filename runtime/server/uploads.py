"""Storing uploaded files: no file is ever mixed from two, and equal ones are stored once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from run_graph.runtime.files.atomic import (
    SaveError,
    explain_os_errors,
    flush_folder,
    publish,
    write_atomically,
)
from run_graph.runtime.files.temporary import temporary_file
from run_graph.runtime.server.replies import Refused


def store(folder: Path, name: str, content: bytes, *, overwrite: bool) -> str:
    """Store a file and return its name.

    If the name is taken by another content, ``name (1).png``, ``name (2).png``, ... are tried, as ComfyUI
    does; a file of the same content keeps its name.

    Raises
    ------
    SaveError
        If it cannot be written.
    """
    if overwrite:
        write_atomically(folder / name, content, overwrite=True)
        return name
    with explain_os_errors(folder / name, len(content)), temporary_file(folder, content) as temporary:
        for candidate in _candidates(name):
            target = folder / candidate
            if _holds(target, content):
                return candidate
            if publish(temporary, target):
                flush_folder(folder)
                return candidate
    raise SaveError(f"there is no free name like {name!r} in {folder}")


def not_stored(error: SaveError) -> Refused:
    """The answer to a client whose file could not be written: it may be the disk, or the name."""
    full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "Free some space." if full else "Send another name."
    return Refused("not_stored", str(error), fix, status=507 if full else 400)


def _candidates(name: str) -> Iterator[str]:
    stem, suffix = os.path.splitext(name)
    yield name
    for number in range(1, 1_000_000):
        yield f"{stem} ({number}){suffix}"


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.is_file() and path.read_bytes() == content
    except OSError:
        return False
