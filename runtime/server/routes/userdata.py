"""The editor's own files and settings: workflows that were saved, preferences."""

from __future__ import annotations

import os
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from run_graph.runtime.files.atomic import SaveError, write_atomically
from run_graph.runtime.server.folders import OutsideError, walk, within
from run_graph.runtime.server.preferences import Preferences
from run_graph.runtime.server.replies import Refused, done, parsed, parsed_object, reply
from run_graph.runtime.server.routes.files import file_response
from run_graph.runtime.server.state import ServerState
from run_graph.runtime.server.uploads import not_stored

_NO = "false"


def routes(server: ServerState) -> list[Route]:
    """The routes, without their prefix."""
    root = server.folders.user / "default"
    files, settings = _UserFiles(root), _Settings(Preferences(root))
    return [
        Route("/userdata", files.listed, methods=["GET"]),
        Route("/v2/userdata", files.listed_in_full, methods=["GET"]),
        Route("/userdata/{file:path}/move/{target:path}", files.move, methods=["POST"]),
        Route("/userdata/{file:path}", files.get, methods=["GET"]),
        Route("/userdata/{file:path}", files.post, methods=["POST"]),
        Route("/userdata/{file:path}", files.delete, methods=["DELETE"]),
        Route("/settings", settings.all, methods=["GET"]),
        Route("/settings", settings.change, methods=["POST"]),
        Route("/settings/{name}", settings.one, methods=["GET"]),
        Route("/settings/{name}", settings.set_one, methods=["POST"]),
    ]


class _UserFiles:
    """Files below one folder, named by paths relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def listed(self, request: Request) -> Response:
        query = request.query_params
        if "dir" not in query:
            raise Refused("invalid_request", "dir is missing", "Name a folder.")
        folder = self._folder(query["dir"])
        recurse, split, full = (_is_true(query, name) for name in ("recurse", "split", "full_info"))
        found = [(name, entry) for name, entry in walk(folder) if recurse or "/" not in name]
        if full:
            return reply([_info(name, entry.stat()) for name, entry in found])
        if split:
            return reply([[name, *name.split("/")] for name, _ in found])
        return reply([name for name, _ in found])

    def listed_in_full(self, request: Request) -> Response:
        """Files and folders, all the way down."""
        named = request.query_params.get("path", "")
        if not named and not self._root.is_dir():
            return reply([])
        folder = self._folder(named)
        entries: list[dict[str, Any]] = []
        for name, entry in walk(folder):
            status = entry.stat()
            entries.append(
                {**_entry(name, named, "file"), "size": status.st_size, "modified": status.st_mtime}
            )
        folders = {str(parent) for each in entries for parent in Path(each["name_below"]).parents} - {"."}
        entries += [_entry(name, named, "directory") for name in folders]
        for each in entries:
            del each["name_below"]
        return reply(sorted(entries, key=lambda each: each["path"]))

    def get(self, request: Request) -> Response:
        path = self._path(request, "file")
        if not path.is_file():
            # Of the type that was asked for: a browser complains of a style sheet that comes as JSON.
            return Response(status_code=404, media_type=guess_type(path.name)[0] or "text/plain")
        return file_response(path)

    async def post(self, request: Request) -> Response:
        path, body = self._path(request, "file"), await request.body()
        overwrite = request.query_params.get("overwrite") != _NO
        return await run_in_threadpool(
            self._write, path, body, overwrite, _is_true(request.query_params, "full_info")
        )

    def _write(self, path: Path, body: bytes, overwrite: bool, full: bool) -> Response:
        if path.exists() and not overwrite:
            raise Refused("exists", "There is such a file already", "Allow overwriting.", status=409)
        if path.is_dir():
            raise Refused("exists", "There is a folder of this name", "Choose another name.", status=409)
        try:
            write_atomically(path, body, overwrite=overwrite)
        except SaveError as error:
            raise not_stored(error) from None
        return self._told(path, full)

    def delete(self, request: Request) -> Response:
        path = self._path(request, "file")
        try:
            path.unlink()
        except OSError:
            raise Refused("not_found", "There is no such file", status=404) from None
        return Response(status_code=204)

    def move(self, request: Request) -> Response:
        source, target = self._path(request, "file"), self._path(request, "target")
        if not source.is_file():
            raise Refused("not_found", "There is no such file", status=404)
        if target.exists() and (target.is_dir() or request.query_params.get("overwrite") == _NO):
            raise Refused("exists", "There is such a file already", "Allow overwriting.", status=409)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
        except OSError as error:
            message = f"The file was not moved: {error.strerror or error}"
            raise Refused("not_stored", message, "Choose another name.") from None
        return self._told(target, _is_true(request.query_params, "full_info"))

    def _told(self, path: Path, full: bool) -> Response:
        name = path.relative_to(self._root).as_posix()
        return reply(_info(name, path.stat()) if full else name)

    def _path(self, request: Request, name: str) -> Path:
        try:
            path = within(self._root, request.path_params[name])
            within(self._root, unquote(request.path_params[name]))  # a client may decode it once more
            if path == self._root:
                raise OutsideError("it names no file")
            path.is_file()  # a name that is too long, or is none, shows here
        except (OutsideError, OSError, ValueError) as error:
            raise Refused("outside", f"This cannot be the name of a file: {error}", status=403) from None
        return path

    def _folder(self, name: str) -> Path:
        try:
            folder = within(self._root, name)
            found = folder.is_dir()
        except (OutsideError, OSError, ValueError) as error:
            raise Refused("outside", f"This cannot be the name of a folder: {error}", status=403) from None
        if not found:
            raise Refused("not_found", "There is no such folder", status=404)
        return folder


class _Settings:
    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences

    def all(self, request: Request) -> Response:
        return reply(self._preferences.all())

    def one(self, request: Request) -> Response:
        return reply(self._preferences.all().get(request.path_params["name"]))

    async def change(self, request: Request) -> Response:
        return await run_in_threadpool(self._change, parsed_object(await request.body()))

    async def set_one(self, request: Request) -> Response:
        value = parsed(await request.body())
        return await run_in_threadpool(self._change, {request.path_params["name"]: value})

    def _change(self, values: dict[str, Any]) -> Response:
        try:
            self._preferences.change(values)
        except SaveError as error:
            raise not_stored(error) from None
        return done()


def _is_true(query: Any, name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")


def _info(name: str, status: os.stat_result) -> dict[str, Any]:
    """A file as the editor lists it; times in milliseconds."""
    return {
        "path": name,
        "size": status.st_size,
        "modified": int(status.st_mtime * 1000),
        "created": int(status.st_ctime * 1000),
    }


def _entry(name: str, below: str, kind: str) -> dict[str, Any]:
    path = f"{below.rstrip('/')}/{name}" if below else name
    return {"name": name.rsplit("/", 1)[-1], "path": path, "type": kind, "name_below": name}
