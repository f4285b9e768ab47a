"""``/api/jobs``: what the editor's panels list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from run_graph.runtime.server.history import STATUSES
from run_graph.runtime.server.replies import parsed, reply
from run_graph.runtime.server.state import ServerState

_UUID = re.compile(r"[0-9a-fA-F-]{36}")
_SORTS = ("created_at", "execution_duration")
_ORDERS = ("asc", "desc")


class _Wrong(Exception):
    """A query that cannot be answered; the text says why."""


def routes(server: ServerState) -> list[Route]:
    """The routes, which are under ``/api`` only."""
    jobs = _Jobs(server)
    return [
        Route("/jobs", jobs.listed, methods=["GET"]),
        Route("/jobs/cancel", jobs.cancel_many, methods=["POST"]),
        Route("/jobs/{job_id}", jobs.one, methods=["GET"]),
        Route("/jobs/{job_id}/cancel", jobs.cancel_one, methods=["POST"]),
    ]


class _Jobs:
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def listed(self, request: Request) -> Response:
        query = request.query_params
        try:
            statuses = [each for each in query.get("status", "").lower().split(",") if each]
            for each in statuses:
                _known(each, STATUSES, "status")
            sort_by = _known(query.get("sort_by", "created_at").lower(), _SORTS, "sort_by")
            order = _known(query.get("sort_order", "desc").lower(), _ORDERS, "sort_order")
            limit = _number(query, "limit")
            if limit is not None and limit < 1:
                raise _Wrong("limit must be 1 or more")
            offset = max(_number(query, "offset") or 0, 0)
        except _Wrong as wrong:
            return reply({"error": str(wrong)}, 400)
        workflow_id = query.get("workflow_id")
        found, total = self._server.history.jobs(
            statuses, workflow_id, sort_by, order == "desc", limit, offset
        )
        pages = {"offset": offset, "limit": limit, "total": total, "has_more": offset + len(found) < total}
        return reply({"jobs": found, "pagination": pages})

    def one(self, request: Request) -> Response:
        found = self._server.history.job(request.path_params["job_id"])
        return reply({"error": "there is no such job"}, 404) if found is None else reply(found)

    def cancel_one(self, request: Request) -> Response:
        return reply({"cancelled": self._cancelled(request.path_params["job_id"])})

    async def cancel_many(self, request: Request) -> Response:
        document = parsed(await request.body())
        ids = document.get("job_ids") if isinstance(document, dict) else None
        if not isinstance(ids, list) or not all(
            isinstance(each, str) and _UUID.fullmatch(each) for each in ids
        ):
            return reply({"error": "job_ids must be a list of ids"}, 400)
        return reply({"cancelled": await run_in_threadpool(self._any_cancelled, ids)})

    def _any_cancelled(self, ids: list[str]) -> bool:
        cancelled = [self._cancelled(each) for each in ids]
        return any(cancelled)

    def _cancelled(self, job_id: str) -> bool:
        return bool(self._server.queue.delete({job_id})) or self._server.worker.interrupt(job_id)


def _known(value: str, known: tuple[str, ...], name: str) -> str:
    if value not in known:
        raise _Wrong(f"{name} must be one of {', '.join(known)}")
    return value


def _number(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch("-?[0-9]{1,15}", text):
        raise _Wrong(f"{name} must be a whole number")
    return int(text)
