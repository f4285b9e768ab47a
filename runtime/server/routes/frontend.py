"""ComfyUI's editor, if its package is installed. It is under the GPL, so it is never part of this one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from run_graph.runtime.server.state import ServerState

PACKAGE = "comfyui_frontend_package"
_NO_STORE = "no-store"
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


def routes(server: ServerState) -> list[BaseRoute]:
    """What is served at the root, after everything else."""
    folder = frontend_folder() if server.settings.frontend else None
    if folder is None:
        why = (
            "The editor is not installed."
            if server.settings.frontend
            else "It was started with --no-frontend."
        )

        def page(request: Request) -> Response:
            return HTMLResponse(_MISSING.format(why=why), headers={"cache-control": _NO_STORE})

        return [Route("/", page, methods=["GET"])]
    return [Mount("/", _Editor(directory=folder, html=True))]


class _Editor(StaticFiles):
    """The editor's files: pictures are kept for a day, everything else is asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        kept = path.lower().endswith(_PICTURES)
        response.headers["cache-control"] = _A_DAY if kept else _NO_STORE
        return response
