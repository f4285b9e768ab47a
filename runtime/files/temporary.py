"""Files that are first written under a temporary name and are always cleaned up.

The writer holds a lock on the file, which the system releases when the process ends, even by SIGKILL. An
unlocked temporary file was abandoned, and the next writer in its folder removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PREFIX, _SUFFIX = ".run-graph-", ".tmp"


@contextlib.contextmanager
def temporary_file(folder: Path, data: bytes, *, flush: bool = True) -> Iterator[Path]:
    """Write `data` to a temporary file in `folder`; remove it at the end if it is still there.

    Parameters
    ----------
    folder : Path
        Created if missing.
    data : bytes
        The whole content.
    flush : bool
        Whether to force the data to disk (fsync) before the path is given to the caller.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    with _locked_file(folder) as (path, file):
        file.write(data)
        file.flush()
        if flush:
            os.fsync(file.fileno())
        yield path


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in a folder whose writers are gone."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(PREFIX) and entry.name.endswith(_SUFFIX):
                _remove_if_abandoned(entry.path)


@contextlib.contextmanager
def _locked_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    while True:
        path = folder / f"{PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        try:
            with open(path, "xb") as file:
                _lock(file)
                if os.fstat(file.fileno()).st_nlink:  # another writer may have removed it before the lock
                    yield path, file
                    return
        finally:
            path.unlink(missing_ok=True)


def _lock(file: BinaryIO) -> None:
    with contextlib.suppress(OSError):  # without locks in the file system, abandoned files stay
        fcntl.flock(file, fcntl.LOCK_EX)


def _remove_if_abandoned(path: str) -> None:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
