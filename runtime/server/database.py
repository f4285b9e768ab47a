"""The file that queue and history are kept in: SQLite in WAL mode, flushed to disk at each commit.

A database that cannot be used is moved aside, never deleted, and a new one is begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

NAME = "run-graph-queue.sqlite"

_BUSY = 5.0  # seconds that a statement waits for another process
_VERSION = 1
_SCHEMA = """
CREATE TABLE prompts (
    arrival INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    number NUMERIC NOT NULL,
    state TEXT NOT NULL,         -- pending, running or done
    client TEXT,
    created INTEGER NOT NULL,    -- times are milliseconds since 1970
    graph TEXT NOT NULL,         -- this and the next are JSON
    extra TEXT NOT NULL,
    targets TEXT NOT NULL,
    workflow_id TEXT,
    finished INTEGER,            -- 1, 2, ... in the order in which prompts ended
    outcome TEXT,                -- completed, failed or cancelled
    began INTEGER,
    ended INTEGER,
    outputs TEXT,                -- JSON, as are the others below
    status TEXT,
    meta TEXT,
    outputs_count INTEGER,
    preview TEXT,
    error TEXT
);
CREATE INDEX by_state ON prompts (state, finished);
"""


class FolderInUseError(Exception):
    """Another server uses the folder."""


class Database:
    """Connections to one file, as many as are used at once. Safe to use from any thread.

    Parameters
    ----------
    folder : Path
        Where the file is. Locked against other servers until `close`.
    tell : callable
        Gets a sentence if the file had to be moved aside.

    Raises
    ------
    FolderInUseError
        If another server uses the folder.
    OSError, sqlite3.Error
        If a new file cannot be made there.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.path = folder / NAME
        self._idle: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        self._lock = _locked(folder / f"{NAME}.lock")
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or the disk is full: the file is sound
                raise
            self.close_connections()
            aside = _moved_aside(self.path)
            tell(
                f"the queue in {self.path} is damaged ({error}); it is kept as {aside.name}, and a new one "
                "begins"
            )
            self._prepare()

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for the block. Raises sqlite3.Error."""
        with self._guard:
            found = self._idle.pop() if self._idle else None
        found = found or self._opened()
        try:
            yield found
        finally:
            with self._guard:
                self._idle.append(found)

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction, on the disk when the block has ended. Raises sqlite3.Error."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query. Raises sqlite3.Error."""
        with self.connection() as connection:
            return connection.execute(query, values).fetchall()

    def close_connections(self) -> None:
        """Close the file, for a moment or for good; nobody may be using it."""
        with self._guard:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def close(self) -> None:
        """Close the file and let another server have the folder."""
        self.close_connections()
        self._lock.close()

    def _opened(self) -> sqlite3.Connection:
        opened = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        opened.row_factory = sqlite3.Row
        try:
            opened.execute("PRAGMA journal_mode=WAL").fetchall()
            opened.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            opened.close()
            raise
        return opened

    def _prepare(self) -> None:
        if self.read("PRAGMA quick_check")[0][0] != "ok":
            raise sqlite3.DatabaseError("it fails SQLite's own check")
        version = self.read("PRAGMA user_version")[0][0]
        if version == 0:
            with self.change() as changing:
                for statement in filter(str.strip, _SCHEMA.split(";\n")):
                    changing.execute(statement)
                changing.execute(f"PRAGMA user_version={_VERSION}")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, and this program reads {_VERSION}")


def _locked(path: Path) -> BinaryIO:
    file = open(path, "ab")  # noqa: SIM115 - it stays open as long as the server runs
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FolderInUseError(
            f"another run-graph serve uses {path.parent}; choose another --user-dir"
        ) from None
    except OSError:  # a file system without locks
        pass
    return file


def _moved_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    os.replace(path, aside)
    return aside
