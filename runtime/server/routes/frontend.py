"""ComfyUI's editor, if its package is installed. It is under the GPL, so it is never part of this one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from run_graph.runtime.server.replies import reply
from run_graph.runtime.server.state import ServerState
from run_graph.runtime.server.templates import FIRST, Templates

Found = TypeVar("Found")

PACKAGE = "comfyui_frontend_package"
EXTENSION = "/extensions/run-graph/editor.js"
_SCRIPT = Path(__file__).parents[1] / "editor.js"
_NO_STORE = "no-store"
_BEEN_HERE = "run-graph-been-here"
_A_YEAR = 365 * 86400  # seconds
_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".webp", ".ico", ".gif")
_A_DAY = "public, max-age=86400"
_MISSING = """<!doctype html><meta charset="utf-8"><title>run-graph</title>
<h1>run-graph serves ComfyUI's API here</h1>
<p>{why} Programs that speak ComfyUI's API can use this address.</p>
<p>The editor is a package of its own: <code>pip install comfyui-frontend-package</code>, or start the server
with <code>uv run --extra serve run-graph serve</code>.</p>
"""


def frontend_folder() -> Path | None:
    """Where the installed editor's files are; None if it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "static"
    return folder if (folder / "index.html").is_file() else None


def served_folder(server: ServerState) -> Path | None:
    """Where the editor's files are; None if it is not installed, or not wanted."""
    return frontend_folder() if server.settings.frontend else None


def routes(server: ServerState) -> list[BaseRoute]:
    """What is served at the root, after everything else."""
    folder = served_folder(server)
    if folder is None:
        why = (
            "The editor is not installed."
            if server.settings.frontend
            else "It was started with --no-frontend."
        )

        def page(request: Request) -> Response:
            return HTMLResponse(_MISSING.format(why=why), headers={"cache-control": _NO_STORE})

        return [Route("/", page, methods=["GET"])]
    pages = _Pages(server, folder)
    return [
        Route("/", pages.first, methods=["GET"]),
        Route("/user.css", pages.style, methods=["GET"]),
        Route(EXTENSION, pages.extension, methods=["GET"]),
        Route("/templates/index.json", pages.templates, methods=["GET"]),
        Route("/templates/{name}.json", pages.template, methods=["GET"]),
        Route("/templates/{name}-1.svg", pages.drawing, methods=["GET"]),
        Mount("/", _Editor(directory=folder, html=True)),
    ]


class _Pages:
    """What the editor finds beside its own files."""

    def __init__(self, server: ServerState, folder: Path) -> None:
        self._index = folder / "index.html"
        self._style = server.folders.user / "default" / "user.css"
        self._templates = Templates(server.folders.examples, server.registry)

    def first(self, request: Request) -> Response:
        """The editor; a browser that comes for the first time is led to a workflow that runs."""
        headers = {"cache-control": _NO_STORE}
        if _BEEN_HERE in request.cookies or request.query_params:
            return FileResponse(self._index, headers=headers)
        response = RedirectResponse(f"/?template={FIRST}", 302, headers)
        response.set_cookie(_BEEN_HERE, "1", max_age=_A_YEAR, httponly=True, samesite="strict")
        return response

    def style(self, request: Request) -> Response:
        """The user's own style sheet; an empty one if there is none."""
        content = self._style.read_bytes() if self._style.is_file() else b""
        return Response(content, media_type="text/css", headers={"cache-control": _NO_STORE})

    def extension(self, request: Request) -> Response:
        """Our part of the editor."""
        return FileResponse(_SCRIPT, media_type="text/javascript", headers={"cache-control": _NO_STORE})

    def templates(self, request: Request) -> Response:
        return reply(self._templates.index())

    def template(self, request: Request) -> Response:
        document = self._templates.document(request.path_params["name"])
        return reply(_found(document))

    def drawing(self, request: Request) -> Response:
        text = _found(self._templates.drawing(request.path_params["name"]))
        return Response(text, media_type="image/svg+xml", headers={"cache-control": _NO_STORE})


def _found(content: Found | None) -> Found:
    if content is None:
        raise HTTPException(404)
    return content


class _Editor(StaticFiles):
    """The editor's files: pictures are kept for a day, everything else is asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        kept = path.lower().endswith(_PICTURES)
        response.headers["cache-control"] = _A_DAY if kept else _NO_STORE
        return response
