"""A folder that is there whole or not at all: it is filled under another name, and renamed at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from run_graph.runtime.files.atomic import SaveError, explain_os_errors, flush_folder
from run_graph.runtime.files.temporary import PREFIX, remove_abandoned

_SUFFIX = ".folder"


def folder_taken(target: Path) -> str | None:
    """Why a new folder cannot be called `target`; None if the name is free or an empty folder's."""
    if not os.path.lexists(target):
        return None
    if target.is_dir() and not any(target.iterdir()):
        return None
    return f"{target} already exists; choose another name, or delete it first"


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, which gets its name when the block ends without an error.

    Missing parent folders are created. All files in it are flushed to the disk first. If the process is
    killed, what it leaves is removed by the next call for the same parent folder.

    Raises
    ------
    SaveError
        If the name is taken, or the system refuses the write.
    """
    if (taken := folder_taken(target)) is not None:
        raise SaveError(taken)
    with explain_os_errors(target, 0):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned_folders(target.parent)
        with _locked_folder(target.parent) as place:
            yield place
            for file in place.rglob("*"):
                _flush(file)
            os.rename(place, target)
        flush_folder(target.parent)


@contextlib.contextmanager
def _locked_folder(parent: Path) -> Iterator[Path]:
    while True:
        place = parent / f"{PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        place.mkdir()
        handle = os.open(place, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # without locks in the file system, abandoned folders stay
                fcntl.flock(handle, fcntl.LOCK_EX)
            if place.is_dir():  # another process may have removed it before the lock
                yield place
                return
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os.close(handle)


def _remove_abandoned_folders(parent: Path) -> None:
    remove_abandoned(parent)
    for place in parent.glob(f"{PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            handle = os.open(place, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place)
            finally:
                os.close(handle)


def _flush(file: Path) -> None:
    if file.is_file():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
    else:
        flush_folder(file)
