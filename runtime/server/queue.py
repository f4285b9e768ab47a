"""The prompts that wait and the one that runs, in memory and on disk.

A prompt is on the disk before its client is told that it was accepted. After a kill the running prompt is
first in the queue again, and the others follow in their order.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from bisect import insort
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from run_graph.runtime.server.database import Database
from run_graph.runtime.server.replies import Refused, dumped
from run_graph.runtime.server.shown import files_of, preview_of

Tell = Callable[[str], None]

_AGAIN = 30.0  # seconds between two lines about the same trouble


@dataclass(frozen=True, order=True)
class QueuedPrompt:
    """A prompt that waits or runs; prompts are in the order in which they run.

    Attributes
    ----------
    number : number
        The smaller, the earlier.
    arrival : int
        Decides between equal numbers.
    id : str
    client : str or None
        Who is told about its run.
    created : int
        When it was accepted, milliseconds since 1970.
    graph, extra, targets : str
        JSON: the prompt in API format, the client's ``extra_data``, the output nodes that run.
    workflow_id : str or None
        The id of the editor's workflow that it was made from.
    """

    number: float
    arrival: int
    id: str = field(compare=False)
    client: str | None = field(compare=False)
    created: int = field(compare=False)
    graph: str = field(compare=False)
    extra: str = field(compare=False)
    targets: str = field(compare=False)
    workflow_id: str | None = field(compare=False, default=None)

    def listed(self) -> str:
        """The prompt as ``GET /queue`` and the history list it, JSON."""
        return f"[{dumped(self.number)},{dumped(self.id)},{self.graph},{self.extra},{self.targets}]"


@dataclass(frozen=True)
class Ended:
    """How a run has ended.

    Attributes
    ----------
    outcome : str
        ``completed``, ``failed`` or ``cancelled``.
    outputs, meta : mapping
        What nodes show, and who they are, by id.
    messages : list
        The messages that the client was sent about the run as a whole: ``[event, data]``.
    began, ended : int
        Milliseconds since 1970.
    error : mapping, optional
        The data of ``execution_error``.
    """

    outcome: str
    outputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    messages: list[Any]
    began: int
    ended: int
    error: Mapping[str, Any] | None = None

    def row(self) -> dict[str, Any]:
        """The columns of the database that this fills."""
        completed = self.outcome == "completed"
        status = {
            "status_str": "success" if completed else "error",
            "completed": completed,
            "messages": self.messages,
        }
        preview = preview_of(self.outputs)
        return {
            "outcome": self.outcome,
            "began": self.began,
            "ended": self.ended,
            "outputs": dumped(self.outputs),
            "status": dumped(status),
            "meta": dumped(self.meta),
            "outputs_count": sum(len(files) for files in map(files_of, self.outputs.values())),
            "preview": dumped(preview) if preview else None,
            "error": dumped(self.error) if self.error else None,
        }


class PromptQueue:
    """The queue of one server. Safe to use from any thread.

    Parameters
    ----------
    database : Database
    tell : callable
        Gets a sentence when the disk does not take what it should.
    maximum, remembered : int
        Prompts that may wait; finished prompts that are kept.
    """

    def __init__(self, database: Database, tell: Tell, maximum: int, remembered: int) -> None:
        self.database = database
        self.on_change: Callable[[], None] = lambda: None
        self.running: QueuedPrompt | None = None
        self._tell, self._maximum, self._remembered = tell, maximum, remembered
        self._told = float("-inf")
        self._changed = threading.Condition(threading.RLock())
        self._unsaved: dict[str, tuple[QueuedPrompt, dict[str, Any]]] = {}
        self._closed = False
        rows = database.read("SELECT * FROM prompts WHERE state != 'done'")
        interrupted = [_from_row(row) for row in rows if row["state"] == "running"]
        self._first = interrupted
        self._waiting = sorted(_from_row(row) for row in rows if row["state"] == "pending")
        highest = database.read("SELECT max(arrival) FROM prompts")[0][0]
        self._arrivals = int(highest or 0)

    @property
    def remaining(self) -> int:
        """How many prompts wait or run."""
        with self._changed:
            return len(self._first) + len(self._waiting) + (self.running is not None)

    def listed(self) -> tuple[list[QueuedPrompt], list[QueuedPrompt]]:
        """What runs, and what waits in its order."""
        with self._changed:
            return [self.running] if self.running else [], [*self._first, *self._waiting]

    def find(self, prompt_id: str) -> QueuedPrompt | None:
        """The prompt of this id, if it waits or runs."""
        running, waiting = self.listed()
        return next((each for each in [*running, *waiting] if each.id == prompt_id), None)

    def next_number(self) -> int:
        """The number of a prompt that names none: 0, 1, 2, ... for each request."""
        with self._changed:
            self._arrivals += 1
            return self._arrivals - 1

    def add(self, prompt: QueuedPrompt) -> QueuedPrompt:
        """Accept a prompt: it is on the disk when this returns. ``arrival`` is set here.

        The same prompt sent again under the same id, by a client that did not hear the answer, is accepted
        once.

        Raises
        ------
        Refused
            If the queue is full, the disk does not take it, or another prompt has this id.
        """
        with self._changed:
            if (same := self._accepted_before(prompt)) is not None:
                return same
            if len(self._waiting) >= self._maximum:
                message = f"The queue is full: {self._maximum} prompts wait"
                raise Refused("queue_full", message, "Send it again later.", status=503)
            try:
                with self.database.change() as connection:
                    arrival = connection.execute(_INSERT, _row_of(prompt)).lastrowid
            except sqlite3.Error as error:
                raise self._not_written(error) from None
            accepted = _with_arrival(prompt, arrival or 0)
            insort(self._waiting, accepted)
            self.on_change()
            self._changed.notify_all()
            return accepted

    def take(self) -> QueuedPrompt | None:
        """Wait for the next prompt, which then runs. None when the queue is closed."""
        with self._changed:
            while not (self._first or self._waiting or self._closed):
                self._changed.wait()
            if self._closed:
                return None
            prompt = self._first.pop(0) if self._first else self._waiting.pop(0)
            self.running = prompt
            self._try_to_write("UPDATE prompts SET state = 'running' WHERE id = ?", (prompt.id,))
            self.on_change()
            return prompt

    def finish(self, prompt: QueuedPrompt, ended: Ended) -> None:
        """Record how the running prompt has ended. What the disk does not take is kept in memory for it."""
        with self._changed:
            row = {"id": prompt.id, "remembered": self._remembered, **ended.row()}
            self._unsaved[prompt.id] = prompt, row
            self.running = None
            self.save()

    def save(self) -> bool:
        """Write what the disk has not taken yet; returns whether nothing is left."""
        with self._changed:
            for prompt_id, (_, row) in list(self._unsaved.items()):
                if not self._try_to_write(_FINISH, row):
                    return False
                self._try_to_write(_FORGET, row)
                del self._unsaved[prompt_id]
            return True

    def unsaved(self) -> list[dict[str, Any]]:
        """The finished prompts that the disk has not taken yet, with the columns of their history entries."""
        with self._changed:
            return [{**_row_of(prompt), **row} for prompt, row in self._unsaved.values()]

    def delete(self, ids: Collection[str] | None = None) -> list[str]:
        """Drop waiting prompts (default: all); the others of the ids are ignored.

        Returns the ids that were dropped. Raises Refused if the disk does not take it.
        """
        with self._changed:
            waiting = [*self._first, *self._waiting]
            gone = [each.id for each in waiting if ids is None or each.id in ids]
            if not gone:
                return []
            try:
                with self.database.change() as connection:
                    connection.executemany("DELETE FROM prompts WHERE id = ?", [(each,) for each in gone])
            except sqlite3.Error as error:
                raise self._not_written(error) from None
            dropped = set(gone)
            self._first = [each for each in self._first if each.id not in dropped]
            self._waiting = [each for each in self._waiting if each.id not in dropped]
            self.on_change()
            return gone

    def close(self) -> None:
        """Let `take` return None. What could not be written is tried a last time."""
        with self._changed:
            self.save()
            self._closed = True
            self._changed.notify_all()

    def _try_to_write(self, statement: str, values: Any) -> bool:
        try:
            with self.database.change() as connection:
                connection.execute(statement, values)
        except sqlite3.Error as error:
            if time.monotonic() - self._told > _AGAIN:
                self._told = time.monotonic()
                self._tell(
                    f"{_trouble(self.database, error)}; prompts still run, and are recorded when it can be"
                )
            return False
        return True

    def _accepted_before(self, prompt: QueuedPrompt) -> QueuedPrompt | None:
        try:
            rows = self.database.read("SELECT * FROM prompts WHERE id = ?", (prompt.id,))
        except sqlite3.Error as error:
            raise self._not_written(error) from None
        if not rows:
            return None
        row = rows[0]
        if row["graph"] != prompt.graph or row["targets"] != prompt.targets:
            message = "prompt_id belongs to another prompt already"
            raise Refused("invalid_prompt_id", message, "Send a new id with each prompt.")
        return _from_row(row)

    def _not_written(self, error: sqlite3.Error) -> Refused:
        message = f"The prompt was not accepted: {_trouble(self.database, error)}"
        return Refused("queue_not_writable", message, "Free some space, or send it again later.", status=503)


_INSERT = """
INSERT INTO prompts (id, number, state, client, created, graph, extra, targets, workflow_id)
VALUES (:id, :number, 'pending', :client, :created, :graph, :extra, :targets, :workflow_id)
"""
_FINISH = """
UPDATE prompts SET state = 'done', finished = 1 + coalesce((SELECT max(finished) FROM prompts), 0),
    outcome = :outcome, began = :began, ended = :ended, outputs = :outputs, status = :status, meta = :meta,
    outputs_count = :outputs_count, preview = :preview, error = :error
WHERE id = :id
"""
_FORGET = """
DELETE FROM prompts WHERE state = 'done' AND finished <= (SELECT max(finished) FROM prompts) - :remembered
"""


def milliseconds() -> int:
    """Now, in milliseconds since 1970."""
    return int(time.time() * 1000)


def _row_of(prompt: QueuedPrompt) -> dict[str, Any]:
    names = ("id", "number", "client", "created", "graph", "extra", "targets", "workflow_id")
    return {name: getattr(prompt, name) for name in names}


def _from_row(row: sqlite3.Row) -> QueuedPrompt:
    names = ("number", "arrival", "id", "client", "created", "graph", "extra", "targets", "workflow_id")
    return QueuedPrompt(**{name: row[name] for name in names})


def _with_arrival(prompt: QueuedPrompt, arrival: int) -> QueuedPrompt:
    return QueuedPrompt(**{**_row_of(prompt), "arrival": arrival})


def _trouble(database: Database, error: sqlite3.Error) -> str:
    return f"the queue in {database.path} cannot be written ({error})"
