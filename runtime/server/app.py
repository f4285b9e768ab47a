"""The server as an ASGI application, put together from its parts."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from run_graph.runtime.server.guards import Guards
from run_graph.runtime.server.replies import Refused, reply
from run_graph.runtime.server.routes import files, frontend, info, jobs, prompting, userdata
from run_graph.runtime.server.state import ServerState

_PATIENCE = 20.0  # seconds that a step of the running prompt may take at the end


def make_app(server: ServerState) -> ASGIApp:
    """The application; its worker runs as long as it does."""

    async def socket(websocket: WebSocket) -> None:
        sid = websocket.query_params.get("clientId") or uuid.uuid4().hex
        await server.hub.serve(websocket, sid)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server.hub.start()
        server.queue.on_change = server.hub.post_status
        server.worker.start()
        try:
            yield
        finally:
            await server.hub.close()
            if not server.worker.stop(_PATIENCE):
                server.log(
                    "the running step takes long; what was saved before it is where the next start goes on"
                )

    def both() -> list[BaseRoute]:
        """What is there with and without ``/api`` before it."""
        plain: list[Route] = [
            *prompting.routes(server),
            *files.routes(server),
            *userdata.routes(server),
            *info.routes(server),
        ]
        return [WebSocketRoute("/ws", socket), *plain]

    routes: list[BaseRoute] = [
        Mount("/api", routes=[*both(), *jobs.routes(server), Route("/{rest:path}", _unknown)]),
        Mount("/internal", routes=info.internal_routes(server)),
        *both(),
        *frontend.routes(server),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)

    def failed(request: Request, error: Exception) -> Response:
        server.log(
            f"{request.method} {request.url.path} failed: {''.join(traceback.format_exception(error))}"
        )
        return _error_reply("internal_error", "The server made a mistake; its log says more", 500)

    app.add_exception_handler(Exception, failed)
    return Guards(app, server.settings)


def _unknown(request: Request) -> Response:
    raise HTTPException(404)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return reply(error.document, error.status)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_reply("http_error", error.detail, error.status_code)


def _error_reply(kind: str, message: str, status: int) -> Response:
    return reply(Refused(kind, message).document, status)
