"""The files of a cache on disk: written whole, read whole, the least recently used ones evicted.

::

    CACHEDIR.TAG        marks the folder as run-graph's, and as one that backup programs can skip
    keys/<name>         which values a result is made of
    values/<digest>.*   the values, each once
    snapshots/<name>    resume states of interrupted nodes
    new/                files that are being written

Any number of processes may use it at once: a file appears under its name by a single rename, and a file that
another process has just evicted counts as missing. A file's modification time is the time of its last use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.temporary import remove_abandoned, temporary_file

DEFAULT_LIMIT = 10 * 10**9  # bytes

KEYS, VALUES, SNAPSHOTS, NEW = "keys", "values", "snapshots", "new"
_KINDS = (KEYS, VALUES, SNAPSHOTS)

_TAG_NAME = "CACHEDIR.TAG"
_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This folder is a cache of results made by run-graph; `run-graph --cache-clear` empties it.\n"
)

# Eviction goes down to this share of the limit, so that not every new file evicts another.
_TIDY = 0.9
# Other processes fill the folder too: after writing this share of the limit, the files are counted again.
_COUNT_AGAIN = 0.05


class Damaged(Exception):
    """A file does not hold what was written; the message says which and why."""


@dataclass(frozen=True)
class Usage:
    """What a cache holds: the number of values and of resume states, and the bytes of all files."""

    values: int
    snapshots: int
    nbytes: int


class BlobStore:
    """Reads, writes and evicts files.

    Parameters
    ----------
    root : Path
        Created when something is written.
    limit : int
        Maximum bytes of all files together.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.limit = limit
        self._nbytes = 0
        self._uncounted: float = float("inf")  # bytes written since the last count

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
        if self._uncounted == float("inf"):
            self._claim()
        target = self.path(kind, name)
        with temporary_file(self.root / NEW, data, flush=False) as new:
            try:
                os.replace(new, target)
            except FileNotFoundError:  # the folder is new, or another process has just cleared the cache
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(new, target)
        self._nbytes += len(data)
        self._uncounted += len(data)
        if self._nbytes > self.limit or self._uncounted > _COUNT_AGAIN * self.limit:
            self.evict()

    def write_sealed(self, kind: str, name: str, content: bytes) -> None:
        """Write a file that begins with the digest of its content. Raises OSError."""
        self.write(kind, name, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)

    def touch(self, kind: str, name: str) -> bool:
        """Update a file's time of last use; False if it is missing."""
        try:
            os.utime(self.path(kind, name))
        except OSError:
            return False
        return True

    def drop(self, kind: str, name: str) -> None:
        """Remove a file, if it exists and may be removed."""
        with contextlib.suppress(OSError):
            self.path(kind, name).unlink()

    def evict(self) -> None:
        """Count the files and, if they exceed the limit, remove the least recently used."""
        files = sorted(self._files())
        self._nbytes, self._uncounted = sum(size for _, size, _ in files), 0
        if self._nbytes <= self.limit:
            return
        for _, size, path in files:
            with contextlib.suppress(OSError):
                os.unlink(path)
            self._nbytes -= size
            if self._nbytes <= _TIDY * self.limit:
                return

    def usage(self) -> Usage:
        """Count the files now."""
        sizes = {kind: [size for _, size, _ in self._files(kind)] for kind in _KINDS}
        return Usage(len(sizes[VALUES]), len(sizes[SNAPSHOTS]), sum(sum(each) for each in sizes.values()))

    def clear(self) -> None:
        """Remove everything that a cache holds.

        Raises
        ------
        SaveError
            If something cannot be removed.
        """
        try:
            for kind in (*_KINDS, NEW):
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(self.root / kind)
        except OSError as error:
            raise SaveError(f"cannot clear {self.root}: {error.strerror or error}") from error
        self._uncounted = float("inf")

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
        for kind in (*_KINDS, NEW):
            (self.root / kind).mkdir(exist_ok=True)
        remove_abandoned(self.root / NEW)
        self.evict()

    def _files(self, *kinds: str) -> Iterator[tuple[float, int, str]]:
        """Time of last use, bytes and path of each file."""
        for kind in kinds or _KINDS:
            with contextlib.suppress(OSError):
                for entry in os.scandir(self.root / kind):
                    with contextlib.suppress(OSError):
                        stat = entry.stat()
                        yield stat.st_mtime, stat.st_size, entry.path
