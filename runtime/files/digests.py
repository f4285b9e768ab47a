"""Digests of files' contents, which tell files apart on every machine; each content is read once.

What identifies a file is the SHA-256 of its bytes, not its name, size or times: copying programs set times,
and two machines have different ones. Reading 24 GB takes many seconds, so the digest of a large file is
remembered between processes together with the file's size, modification time, change time and inode number.
No program can set the change time: the system updates it whenever content, name or other times change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.files.places import results_folder
from run_graph.runtime.files.regular import open_regular
from run_graph.runtime.units import bytes_text

MEMO = ".digests.json"  # in the folder of results

# A smaller file is read as quickly as the memo is.
_LARGE = 1_000_000  # bytes
# Clocks of file systems tick slowly: of a file that has just changed, another change might go unnoticed.
_SETTLED = 2.0  # seconds
_ENTRIES = 2000  # that the memo keeps; the oldest leave first
_LONG = 2_000_000_000  # bytes to read, some seconds, that are worth a message
_THREADS = 4  # one reads as fast as one core hashes, a disk is faster

_State = list[int]  # size, modification time, change time, inode number


_tell: ContextVar[Callable[[str], None]] = ContextVar("_tell", default=logging.getLogger(__name__).info)


@contextlib.contextmanager
def announced_by(tell: Callable[[str], None]) -> Iterator[None]:
    """Inside the context, ``tell`` gets a sentence before a lot is read. Default: it is logged."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


def content_digest(path: Path) -> str:
    """The SHA-256 of a file's content, 64 hexadecimal digits. Raises OSError, for a pipe or device too."""
    (digest,) = content_digests([path])
    return digest


def content_digests(paths: Iterable[Path]) -> list[str]:
    """The SHA-256 of several files, in their order, read side by side; see `content_digest`."""
    files = [os.path.realpath(path) for path in paths]
    _announce(files)
    try:
        if len(files) < 2:
            return [_digest(file) for file in files]
        from concurrent.futures import ThreadPoolExecutor  # takes as long as everything else here

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(_digest, files))
    finally:  # after an interruption too: what was read need not be read again
        _MEMO.save()


def _announce(files: Iterable[str]) -> None:
    """Say so before more is read than a user would wait for without a word."""
    unread = 0
    for file in files:
        with contextlib.suppress(OSError):  # whoever reads it reports that
            state = _state(os.stat(file))
            if state[0] >= _LARGE and _MEMO.get(file, state) is None:
                unread += state[0]
    if unread >= _LONG:
        _tell.get()(
            f"reading {bytes_text(unread)} of model files; a file is known by its content, "
            "and is read for this only once"
        )


def named_digest(files: Mapping[str, Path]) -> str:
    """A digest of files' names and contents, 32 hexadecimal digits; the same in any order, on any machine.

    Raises OSError if a file cannot be read.
    """
    names = sorted(files)
    contents = content_digests(files[name] for name in names)
    total = hashlib.sha256()
    for name, content in zip(names, contents, strict=True):
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()[:32]


class _Memo:
    """The digests that this process knows, and those that earlier ones left on disk."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[_State, str]] = {}
        self._unsaved: dict[str, tuple[_State, str]] = {}
        self._read_from: Path | None = None
        self._lock = threading.Lock()

    def get(self, file: str, state: _State) -> str | None:
        """The digest of the file in this state, if it is known."""
        with self._lock:
            if state[0] >= _LARGE:
                self._load()
            known_state, digest = self._known.get(file, (None, ""))
            return digest if known_state == state else None

    def put(self, file: str, state: _State, digest: str) -> None:
        """Remember a digest; that of a large file for later processes too."""
        with self._lock:
            self._known[file] = state, digest
            if state[0] >= _LARGE:
                self._unsaved[file] = state, digest

    def save(self) -> None:
        """Write what is new. A memo that cannot be written is not an error: files are read again."""
        with self._lock:
            if not self._unsaved:
                return
            place = results_folder() / MEMO
            entries = _read(place) | self._unsaved  # another process may have written meanwhile
            for file in self._unsaved:
                entries[file] = entries.pop(file)  # the newest last
            kept = dict(list(entries.items())[-_ENTRIES:])
            with contextlib.suppress(OSError):
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomically(place, json.dumps(kept).encode(), overwrite=True)
            self._unsaved = {}

    def _load(self) -> None:
        place = results_folder() / MEMO
        if place != self._read_from:
            self._known = _read(place) | self._known
            self._read_from = place


_MEMO = _Memo()


def _digest(file: str) -> str:
    with open_regular(file) as opened:
        state, started = _state(os.fstat(opened.fileno())), time.time_ns()
        if (known := _MEMO.get(file, state)) is not None:
            return known
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if _state(os.fstat(opened.fileno())) == state and abs(started - state[2]) > _SETTLED * 1e9:
            _MEMO.put(file, state, digest)
    return digest


def _state(stat: os.stat_result) -> _State:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read(place: Path) -> dict[str, tuple[_State, str]]:
    """What the memo holds; nothing if it is missing or damaged."""
    try:
        entries = json.loads(place.read_bytes()).items()
        return {str(file): ([int(each) for each in state], str(digest)) for file, (state, digest) in entries}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
