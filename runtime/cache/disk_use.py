"""How much of the disk files take, and a record of the total that is kept in the cache's folder.

A file takes whole blocks, of 4 kB on most file systems. If it has several names, each counts for its share.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_BLOCK = 4096  # of most file systems
_STAT_BLOCK = 512  # what `st_blocks` counts, on all of them
# Seconds until the files are counted again: killed processes and users who delete files record nothing.
_COUNT_AGAIN = 24 * 60 * 60


def bytes_for(size: int) -> int:
    """What a new file with so many bytes of content takes."""
    return -(-size // _BLOCK) * _BLOCK


def share(status: os.stat_result) -> float:
    """What one of a file's names takes of the disk."""
    return status.st_blocks * _STAT_BLOCK / max(1, status.st_nlink)


def freed_without(path: Path) -> int:
    """What would be free without this name: nothing if it does not exist, or the file has another one."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        return status.st_blocks * _STAT_BLOCK if status.st_nlink == 1 else 0
    return 0


class _Record(NamedTuple):
    nbytes: int
    counted: int  # whole seconds since the epoch, rounded down

    @property
    def is_recent(self) -> bool:
        return 0 <= time.time() - self.counted < _COUNT_AGAIN


class DiskUse:
    """The record: bytes on the disk, and when they were counted. Processes change it under a lock.

    It need not be exact: files are counted again once a day, and when it says that they are too many.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, nbytes: int) -> int | None:
        """Record a change, and return the new total; None if the files should be counted."""
        try:
            with self._locked(os.O_RDWR) as file:
                record = _read(file)
                if record is None or not record.is_recent:
                    return None
                total = max(0, record.nbytes + nbytes)
                if nbytes:
                    _write(file, _Record(total, record.counted))
                return total
        except OSError:
            return None

    def set(self, nbytes: int, before: int | None) -> None:
        """Record a count. What has been added to ``before``, the total when it began, is added to it.

        Raises OSError.
        """
        with self._locked(os.O_RDWR | os.O_CREAT) as file:
            record = _read(file)
            meanwhile = 0 if record is None or before is None else max(0, record.nbytes - before)
            _write(file, _Record(nbytes + meanwhile, int(time.time())))
            file.truncate()

    @contextlib.contextmanager
    def _locked(self, flags: int) -> Iterator[BinaryIO]:
        with open(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _read(file: BinaryIO) -> _Record | None:
    try:
        nbytes, counted = json.loads(file.read(100))
        return _Record(int(nbytes), int(counted))
    except (ValueError, TypeError):
        return None


def _write(file: BinaryIO, record: _Record) -> None:
    file.seek(0)
    file.write(f"[{record.nbytes:20}, {record.counted:20}]".encode())  # always as long: replaced whole
