"""The files of a cache on disk: written whole, read whole, the least recently used ones evicted.

::

    CACHEDIR.TAG        marks the folder as run-graph's, and as one that backup programs can skip
    results/<name>      which values a result is made of, and its small plain values themselves
    values/<digest>.*   the other values, each once
    snapshots/<name>    resume states of interrupted nodes
    new/                files that are being written
    disk-use            how much of the disk all files take

Any number of processes may use it at once: a file appears under its name by a single rename, and a file that
another process has just evicted counts as missing. A file's modification time is the time of its last use.

Earlier releases had ``keys/`` in place of ``results/``. What they kept cannot be read and is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.cache.disk_use import DiskUse, bytes_for, freed_without, share
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.temporary import remove_abandoned, temporary_file

DEFAULT_LIMIT = 10 * 10**9  # bytes

RESULTS, VALUES, SNAPSHOTS, NEW = "results", "values", "snapshots", "new"
_KINDS = (RESULTS, VALUES, SNAPSHOTS)
_FORMER_RESULTS = "keys"
_DISK_USE = "disk-use"

_TAG_NAME = "CACHEDIR.TAG"
_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This folder is a cache of results made by run-graph; `run-graph --cache-clear` empties it.\n"
)

# Eviction goes down to this share of the limit, so that not every new file evicts another.
_TIDY = 0.9


class Damaged(Exception):
    """A file does not hold what was written; the message says which and why."""


@dataclass(frozen=True)
class Usage:
    """What a cache holds.

    Attributes
    ----------
    results, snapshots : int
        The number of results and of resume states.
    nbytes : int
        The content of all files.
    disk_bytes : int
        What they take of the disk, which is more: files take whole blocks.
    """

    results: int
    snapshots: int
    nbytes: int
    disk_bytes: int


class _File(NamedTuple):
    """One name of a file, with its shares of what the file holds and takes."""

    used: float  # time of last use
    inode: int  # second, so that sorting keeps the names of a file together
    disk_bytes: float
    path: str
    nbytes: float
    parts: float  # the share itself: 1/2 if the file has two names


class BlobStore:
    """Reads, writes and evicts files.

    Parameters
    ----------
    root : Path
        Created when something is written.
    limit : int
        The most of the disk, in bytes, that all files together may take.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self._disk_use = DiskUse(root / _DISK_USE)
        self._is_claimed = False
        self._can_record = True  # otherwise the files would be counted at every write

    def read(self, kind: str, name: str) -> bytes | None:
        """A file's bytes, or None if it is missing; updates its time of last use."""
        path = self.path(kind, name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data

    def read_sealed(self, kind: str, name: str) -> bytes | None:
        """The content that `write_sealed` wrote, or None if the file is missing. Raises Damaged."""
        data = self.read(kind, name)
        if data is None:
            return None
        seal, _, content = data.partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != seal:
            raise Damaged(f"{self.path(kind, name)} is damaged")
        return content

    def write(self, kind: str, name: str, data: bytes) -> None:
        """Write a file whole or not at all, replacing one of the same name. Raises OSError."""
        if not self._is_claimed:
            self._claim()
        target = self.path(kind, name)
        replaced = freed_without(target)
        with temporary_file(self.root / NEW, data, flush=False) as new:
            try:
                os.replace(new, target)
            except FileNotFoundError:  # the folder is new, or another process has just cleared the cache
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(new, target)
        total = self._disk_use.add(bytes_for(len(data)) - replaced)
        if (total is None and self._can_record) or (total is not None and total > self.limit):
            self.evict()

    def write_sealed(self, kind: str, name: str, content: bytes) -> None:
        """Write a file that begins with the digest of its content. Raises OSError."""
        self.write(kind, name, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)

    def name_again(self, kind: str, name: str, other: str) -> None:
        """Give a file that was just written a second name, which takes no room of its own. Raises OSError."""
        source, target = self.path(kind, name), self.path(kind, other)
        try:
            self.drop(kind, other)
            os.link(source, target)
        except (FileNotFoundError, FileExistsError):
            pass  # another process has just evicted it, or named its own so
        except OSError:  # a file system on which files have one name
            self.write(kind, other, source.read_bytes())

    def touch(self, kind: str, name: str) -> bool:
        """Update a file's time of last use; False if it is missing."""
        try:
            os.utime(self.path(kind, name))
        except OSError:
            return False
        return True

    def drop(self, kind: str, *names: str) -> None:
        """Remove files, as far as they exist and may be removed."""
        freed = 0
        for name in names:
            path = self.path(kind, name)
            nbytes = freed_without(path)
            with contextlib.suppress(OSError):
                path.unlink()
                freed += nbytes
        if freed:
            self._disk_use.add(-freed)

    def evict(self) -> None:
        """Count the files and, if they take more than the limit, remove the least recently used."""
        before = self._disk_use.add(0)
        files = sorted(self._files())
        total = sum(file.disk_bytes for file in files)
        goal = self.limit if total <= self.limit else _TIDY * self.limit
        for _, names in itertools.groupby(files, attrgetter("used", "inode")):
            if total <= goal:
                break
            for file in names:
                with contextlib.suppress(OSError):
                    os.unlink(file.path)
                total -= file.disk_bytes
        try:
            self._disk_use.set(round(total), before)
        except OSError:
            self._can_record = False

    def usage(self) -> Usage:
        """Count the files now."""
        found = {kind: list(self._files(kind)) for kind in _KINDS}
        files = list(itertools.chain.from_iterable(found.values()))
        return Usage(
            round(sum(file.parts for file in found[RESULTS])),
            len(found[SNAPSHOTS]),
            round(sum(file.nbytes for file in files)),
            round(sum(file.disk_bytes for file in files)),
        )

    def clear(self) -> None:
        """Remove everything that a cache holds.

        Raises
        ------
        SaveError
            If something cannot be removed.
        """
        try:
            for kind in (*_KINDS, NEW, _FORMER_RESULTS):
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(self.root / kind)
            self._disk_use.path.unlink(missing_ok=True)
        except OSError as error:
            raise SaveError(f"cannot clear {self.root}: {error.strerror or error}") from error
        self._is_claimed = False

    def check(self) -> None:
        """Raise SaveError if the folder cannot be a cache: it is a file, or holds other things."""
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise SaveError(f"cannot keep results in {self.root}: it is a file; name a folder")
        if not self._is_ours() and any(not entry.name.startswith(".") for entry in os.scandir(self.root)):
            raise SaveError(
                f"{self.root} holds other things than results of run-graph; name an empty or a new folder"
            )

    def path(self, kind: str, name: str) -> Path:
        """Where a file is stored. Raises Damaged if the name leads out of the folder."""
        if name in ("", ".", "..") or "/" in name or os.sep in name or "\0" in name:
            raise Damaged(f"{self.root / kind} has no file called {name!r}")
        return self.root / kind / name

    def _is_ours(self) -> bool:
        """Whether the folder has run-graph's own tag: other programs tag their caches too."""
        try:
            return (self.root / _TAG_NAME).read_bytes() == _TAG
        except OSError:
            return False

    def _claim(self) -> None:
        """Create the folder with its tag, and remove what a killed process was writing."""
        self.root.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # somebody else's folder, or a file system without modes
            self.root.chmod(0o700)  # prompts and pictures are nobody else's business
        if not self._is_ours():  # first, so that the folder is recognised as ours from now on
            (self.root / _TAG_NAME).write_bytes(_TAG)
        self._remove_former()
        for kind in (*_KINDS, NEW):
            (self.root / kind).mkdir(exist_ok=True)
        remove_abandoned(self.root / NEW)
        if self._disk_use.add(0) is None:
            self.evict()
        self._is_claimed = True

    def _remove_former(self) -> None:
        """Remove what an earlier release kept, which stored results in another way.

        Only once: if both releases are used, its later results are evicted like others.
        """
        former = self.root / _FORMER_RESULTS
        if former.is_dir() and not (self.root / RESULTS).exists():
            for folder in (self.root / VALUES, self.root / SNAPSHOTS, former):
                shutil.rmtree(folder, ignore_errors=True)

    def _files(self, *kinds: str) -> Iterator[_File]:
        for kind in kinds or (*_KINDS, _FORMER_RESULTS):
            with contextlib.suppress(OSError):
                for entry in os.scandir(self.root / kind):
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        yield _named(entry.path, status)


def _named(path: str, status: os.stat_result) -> _File:
    parts = 1 / max(1, status.st_nlink)
    return _File(status.st_mtime, status.st_ino, share(status), path, status.st_size * parts, parts)
