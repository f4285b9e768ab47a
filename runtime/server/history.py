"""What has run: read from the database for ``/history`` and ``/api/jobs``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from typing import Any

from run_graph.runtime.server.database import Database
from run_graph.runtime.server.replies import Refused, dumped

Row = sqlite3.Row | dict[str, Any]

_STATUS = {"pending": "pending", "running": "in_progress"}
_STATE_OF = "CASE state WHEN 'pending' THEN 'pending' WHEN 'running' THEN 'in_progress' ELSE outcome END"
STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
_SORTED_BY = {"created_at": "created", "execution_duration": "coalesce(ended - began, 0)"}
_JOB = "id, number, state, created, workflow_id, outcome, began, ended, outputs_count, preview, error"


class History:
    """The finished prompts of a server. Safe to use from any thread.

    Parameters
    ----------
    database : Database
    unsaved : callable
        The finished prompts that are not in the database yet, as its rows.
    """

    def __init__(self, database: Database, unsaved: Callable[[], list[dict[str, Any]]]) -> None:
        self._database, self._unsaved = database, unsaved

    def entries(self, maximum: int | None, offset: int | None) -> str:
        """Finished prompts as JSON by id, oldest first.

        Parameters
        ----------
        maximum : int, optional
            How many: the newest ones, or those after the offset.
        offset : int, optional
            How many of the oldest to skip.
        """
        if maximum is not None and offset is None:
            query = (
                "SELECT * FROM (SELECT * FROM prompts WHERE state = 'done' ORDER BY finished DESC LIMIT ?)"
            )
            rows = self._read(f"{query} ORDER BY finished", (max(maximum, 0),)) + self._unsaved()
            rows = rows[-maximum:] if maximum else []
        else:
            limit = -1 if maximum is None else max(maximum, 0)
            query = "SELECT * FROM prompts WHERE state = 'done' ORDER BY finished LIMIT ? OFFSET ?"
            rows = self._read(query, (limit, max(offset or 0, 0)))
            rows += self._unsaved() if maximum is None else []
        return _by_id(rows)

    def entry(self, prompt_id: str) -> str:
        """A finished prompt as JSON by its id; ``{}`` if there is none."""
        if waiting := [row for row in self._unsaved() if row["id"] == prompt_id]:
            return _by_id(waiting)
        return _by_id(self._read("SELECT * FROM prompts WHERE state = 'done' AND id = ?", (prompt_id,)))

    def forget(self, ids: Collection[str] | None) -> None:
        """Forget finished prompts (default: all). Their files stay. Raises Refused."""
        try:
            with self._database.change() as connection:
                if ids is None:
                    connection.execute("DELETE FROM prompts WHERE state = 'done'")
                else:
                    statement = "DELETE FROM prompts WHERE state = 'done' AND id = ?"
                    connection.executemany(statement, [(each,) for each in ids])
        except sqlite3.Error as error:
            raise _unreadable(error) from None

    def jobs(
        self,
        statuses: Sequence[str],
        workflow_id: str | None,
        sort_by: str,
        descending: bool,
        limit: int | None,
        offset: int,
    ) -> tuple[list[dict[str, Any]], int]:
        """Prompts as the editor lists them, and how many there are in all. Raises Refused."""
        where, values = ["1"], []
        if statuses:
            where.append(f"{_STATE_OF} IN ({','.join('?' * len(statuses))})")
            values += list(statuses)
        if workflow_id is not None:
            where.append("workflow_id = ?")
            values.append(workflow_id)
        condition = " AND ".join(where)
        order = "DESC" if descending else "ASC"
        rows = self._read(
            f"SELECT {_JOB} FROM prompts WHERE {condition} ORDER BY {_SORTED_BY[sort_by]} {order}, "
            f"arrival {order} LIMIT ? OFFSET ?",
            (*values, -1 if limit is None else limit, offset),
        )
        total = self._read(f"SELECT count(*) AS total FROM prompts WHERE {condition}", values)[0]["total"]
        return [_job(row) for row in rows], total

    def job(self, prompt_id: str) -> dict[str, Any] | None:
        """A prompt with all that is known of it. Raises Refused."""
        rows = self._read("SELECT * FROM prompts WHERE id = ?", (prompt_id,))
        if not rows:
            return None
        row = rows[0]
        found = _job(row)
        found["workflow"] = {"prompt": json.loads(row["graph"]), "extra_data": json.loads(row["extra"])}
        if row["state"] == "done":
            found["outputs"] = json.loads(row["outputs"])
            found["execution_status"] = json.loads(row["status"])
        return found

    def _read(self, query: str, values: Sequence[Any]) -> list[Row]:
        try:
            return list(self._database.read(query, values))
        except sqlite3.Error as error:
            raise _unreadable(error) from None


def _by_id(rows: Sequence[Row]) -> str:
    return "{" + ",".join(f"{dumped(row['id'])}:{_entry(row)}" for row in rows) + "}"


def _entry(row: Row) -> str:
    prompt = f"[{dumped(row['number'])},{dumped(row['id'])},{row['graph']},{row['extra']},{row['targets']}]"
    fields = f'"outputs":{row["outputs"]},"status":{row["status"]},"meta":{row["meta"]}'
    return f'{{"prompt":{prompt},{fields}}}'


def _job(row: Row) -> dict[str, Any]:
    """What is not known of a prompt is left out."""
    previews = json.loads(row["preview"]) if row["preview"] else None
    known = {
        "id": row["id"],
        "status": _STATUS.get(row["state"], row["outcome"]),
        "priority": row["number"],
        "create_time": row["created"],
        "execution_start_time": row["began"],
        "execution_end_time": row["ended"],
        "execution_error": json.loads(row["error"]) if row["error"] else None,
        "outputs_count": row["outputs_count"] or 0,
        "previewable_outputs_count": (row["outputs_count"] or 0) if previews else 0,
        "preview_output": previews,
        "workflow_id": row["workflow_id"],
    }
    return {name: value for name, value in known.items() if value is not None}


def _unreadable(error: sqlite3.Error) -> Refused:
    return Refused(
        "history_not_readable", f"The history cannot be used: {error}", "Try again later.", status=503
    )
