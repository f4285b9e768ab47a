"""Prompts: sending, listing, stopping and looking them up."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from run_graph.runtime.server.prompts import checked_prompt
from run_graph.runtime.server.queue import QueuedPrompt, milliseconds
from run_graph.runtime.server.replies import Refused, done, dumped, json_text, parsed_object, reply, texts
from run_graph.runtime.server.state import ServerState

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Never kept: they belong to the client's account elsewhere.
_SECRETS = ("api_key_comfy_org", "auth_token_comfy_org")
_DOCUMENT = re.compile(r"[ -~]{1,79}")  # a keyword of PNG's text chunks
_LARGEST = 2**53  # whole numbers that JavaScript has


def routes(server: ServerState) -> list[Route]:
    """The routes, without their prefix."""
    return [
        Route("/prompt", _Prompt(server).get, methods=["GET"]),
        Route("/prompt", _Prompt(server).post, methods=["POST"]),
        Route("/queue", _Queue(server).get, methods=["GET"]),
        Route("/queue", _Queue(server).post, methods=["POST"]),
        Route("/interrupt", _Queue(server).interrupt, methods=["POST"]),
        Route("/history", _HistoryRoutes(server).get, methods=["GET"]),
        Route("/history", _HistoryRoutes(server).post, methods=["POST"]),
        Route("/history/{prompt_id}", _HistoryRoutes(server).one, methods=["GET"]),
    ]


def status(server_queue_remaining: int) -> dict[str, Any]:
    """The data of a ``status`` message."""
    return {"status": {"exec_info": {"queue_remaining": server_queue_remaining}}}


class _Prompt:
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def get(self, request: Request) -> Response:
        return reply({"exec_info": {"queue_remaining": self._server.queue.remaining}})

    async def post(self, request: Request) -> Response:
        return await run_in_threadpool(self._accept, await request.body())

    def _accept(self, body: bytes) -> Response:
        server = self._server
        number = server.queue.next_number()
        document = parsed_object(body)
        if "prompt" not in document:
            raise Refused("no_prompt", "No prompt provided", "No prompt provided")
        prompt_id = _prompt_id(document)
        position = _number(document, number)
        extra = _extra(document)
        client = document.get("client_id")
        if client is not None and not isinstance(client, str):
            raise Refused(
                "invalid_request", "client_id is not a text", "Send the id that your WebSocket named."
            )
        targets = document.get("partial_execution_targets")
        chosen = None if targets is None else texts(document, "partial_execution_targets")
        checked = checked_prompt(document["prompt"], server.registry, server.folders, chosen)
        created = milliseconds()
        extra["create_time"] = created
        if client is not None:
            extra["client_id"] = client
        accepted = server.queue.add(
            QueuedPrompt(
                number=position,
                arrival=0,
                id=prompt_id,
                client=client,
                created=created,
                graph=dumped(checked.workflow.to_json()),
                extra=dumped(extra),
                targets=dumped(list(checked.targets)),
                workflow_id=_workflow_id(extra),
            )
        )
        answer = {"prompt_id": accepted.id, "number": accepted.number, "node_errors": checked.node_errors}
        return reply(answer)


class _Queue:
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def get(self, request: Request) -> Response:
        running, waiting = self._server.queue.listed()
        lists = [",".join(prompt.listed() for prompt in prompts) for prompts in (running, waiting)]
        return json_text(f'{{"queue_running":[{lists[0]}],"queue_pending":[{lists[1]}]}}')

    async def post(self, request: Request) -> Response:
        document = parsed_object(await request.body())
        ids = texts(document, "delete")
        if document.get("clear"):
            await run_in_threadpool(self._server.queue.delete)
        if ids:
            await run_in_threadpool(self._server.queue.delete, set(ids))
        return done()

    async def interrupt(self, request: Request) -> Response:
        document = parsed_object(await request.body(), optional=True)
        prompt_id = document.get("prompt_id")
        if prompt_id is not None and not isinstance(prompt_id, str):
            raise Refused("invalid_request", "prompt_id is not a text", "Leave it out to stop what runs.")
        self._server.worker.interrupt(prompt_id)
        return done()


class _HistoryRoutes:
    def __init__(self, server: ServerState) -> None:
        self._server = server

    def get(self, request: Request) -> Response:
        query = request.query_params
        maximum, offset = whole_number(query, "max_items"), whole_number(query, "offset")
        return json_text(self._server.history.entries(maximum, offset))

    def one(self, request: Request) -> Response:
        return json_text(self._server.history.entry(request.path_params["prompt_id"]))

    async def post(self, request: Request) -> Response:
        document = parsed_object(await request.body())
        ids = texts(document, "delete")
        if document.get("clear"):
            await run_in_threadpool(self._forget, None)
        if ids:
            await run_in_threadpool(self._forget, ids)
        return done()

    def _forget(self, ids: list[str] | None) -> None:
        queue = self._server.queue
        if not queue.save() and any(ids is None or row["id"] in ids for row in queue.unsaved()):
            message = f"The history was not changed: the disk of {queue.database.path} takes nothing"
            raise Refused("history_not_writable", message, "Free some space, or try again later.", status=503)
        self._server.history.forget(ids)


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """A number in a request's query; None if it is absent or -1. Raises Refused."""
    text = query.get(name)
    if text is None or text == "-1":
        return None
    if not re.fullmatch("[0-9]{1,15}", text):
        raise Refused("invalid_request", f"{name} is not a whole number", f"It is {text[:40]!r}.")
    return int(text)


def _prompt_id(document: Mapping[str, Any]) -> str:
    given = document.get("prompt_id")
    if given is None:
        return str(uuid.uuid4())
    if not isinstance(given, str) or not _UUID.fullmatch(given):
        raise Refused(
            "invalid_prompt_id", "prompt_id must be a valid UUID", "Write it in lower case, with dashes."
        )
    return given


def _number(document: Mapping[str, Any], counted: int) -> float:
    given = document.get("number")
    if given is None:
        return -counted if document.get("front") else counted
    good = isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= _LARGEST
    if not good or (isinstance(given, float) and not math.isfinite(given)):
        raise Refused("invalid_request", "number is not a number", "Leave it out to put the prompt last.")
    return (
        int(given)
        if isinstance(given, float) and given.is_integer()
        else float(given)
        if isinstance(given, float)
        else given
    )


def _extra(document: Mapping[str, Any]) -> dict[str, Any]:
    given = document.get("extra_data", {})
    if not isinstance(given, dict):
        raise Refused("invalid_request", "extra_data is not a JSON object", "Leave it out, or send {...}.")
    documents = given.get("extra_pnginfo") or {}
    if not isinstance(documents, dict) or not all(_DOCUMENT.fullmatch(name) for name in documents):
        message = "extra_pnginfo is not an object of documents with names of 1 to 79 ASCII characters"
        raise Refused("invalid_request", message, 'Send {"workflow": {...}}.')
    return {name: value for name, value in given.items() if name not in _SECRETS}


def _workflow_id(extra: Mapping[str, Any]) -> str | None:
    workflow = (extra.get("extra_pnginfo") or {}).get("workflow")
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None
