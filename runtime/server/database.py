"""The file that queue and history are kept in: SQLite in WAL mode, flushed to disk at each commit.

A database that cannot be used is moved aside, never deleted, and a new one is begun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

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
    """A connection for each thread to one file.

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
        self._threads = threading.local()
        self._opened: list[sqlite3.Connection] = []
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

    def connection(self) -> sqlite3.Connection:
        """This thread's connection. Raises sqlite3.Error."""
        found: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if found is None:
            found = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            self._threads.connection = found
            self._opened.append(found)
        return found

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction, on the disk when the block has ended. Raises sqlite3.Error."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def close_connections(self) -> None:
        """Close the file, for a moment or for good."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._threads = threading.local()

    def close(self) -> None:
        """Close the file and let another server have the folder."""
        self.close_connections()
        self._lock.close()

    def _prepare(self) -> None:
        connection = self.connection()
        if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("it fails SQLite's own check")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
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
