"""Pictures and other files: uploads, and looking at inputs and results."""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.server.folders import Folders, OutsideError, within
from run_graph.runtime.server.forms import form_of
from run_graph.runtime.server.pictures import PictureError, converted, with_alpha_of
from run_graph.runtime.server.replies import Refused, reply
from run_graph.runtime.server.state import ServerState
from run_graph.runtime.server.uploads import not_stored, store

# Shown as a page of this origin they could do all that its pages may do.
_ACTIVE = (".htm", ".html", ".xhtml", ".svg", ".xml", ".js", ".mjs", ".css", ".pdf")
_ANYTHING = "application/octet-stream"
_YES = ("true", "1")


def routes(server: ServerState) -> list[Route]:
    """The routes, without their prefix."""
    files = _Files(server.folders)
    return [
        Route("/view", files.view, methods=["GET"]),
        Route("/upload/image", files.upload, methods=["POST"]),
        Route("/upload/mask", files.upload_mask, methods=["POST"]),
    ]


def file_response(path: Path) -> Response:
    """A file for a browser, which is to save active content rather than show it."""
    active = path.suffix.lower() in _ACTIVE
    kind = _ANYTHING if active else mimetypes.guess_type(path.name)[0] or _ANYTHING
    return FileResponse(
        path,
        media_type=kind,
        filename=path.name,
        content_disposition_type="attachment" if active else "inline",
    )


class _Files:
    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def view(self, request: Request) -> Response:
        query = request.query_params
        path = self._existing(query)
        preview, channel = query.get("preview"), query.get("channel")
        if preview is None and channel not in ("rgb", "a"):
            return file_response(path)
        try:
            content, kind = converted(path, preview, channel)
        except PictureError as error:
            raise Refused("not_a_picture", str(error), "Ask for the file as it is.", status=400) from None
        name = json.dumps(path.name)[1:-1].encode("ascii", "replace").decode()
        return Response(content, media_type=kind, headers={"content-disposition": f'filename="{name}"'})

    async def upload(self, request: Request) -> Response:
        async with form_of(request) as form:
            return await run_in_threadpool(self._store, form, None)

    async def upload_mask(self, request: Request) -> Response:
        async with form_of(request) as form:
            return await run_in_threadpool(self._store_mask, form)

    def _store_mask(self, form: FormData) -> Response:
        try:
            reference = json.loads(str(form.get("original_ref", "")))
        except (ValueError, RecursionError):
            reference = None
        if not isinstance(reference, dict) or not all(isinstance(each, str) for each in reference.values()):
            raise Refused(
                "invalid_request", "original_ref is not a JSON object of texts", "Name the picture."
            )
        return self._store(form, self._existing(reference))

    def _store(self, form: FormData, original: Path | None) -> Response:
        image = form.get("image")
        if not isinstance(image, UploadFile) or not image.filename:
            raise Refused(
                "invalid_request", "There is no file in the field image", "Send multipart/form-data."
            )
        kind, subfolder = str(form.get("type", "input") or "input"), str(form.get("subfolder", ""))
        root = self._folders.kind(kind)
        if root is None:
            raise Refused("invalid_request", "type is not input, output or temp", f"It is {kind[:40]!r}.")
        name = os.path.basename(image.filename.replace("\\", "/"))
        content = image.file.read()
        if original is not None:
            try:
                content = with_alpha_of(original, content)
            except PictureError as error:
                raise Refused("not_a_picture", str(error), "Send a mask of the picture's size.") from None
        try:
            folder = within(root, subfolder)
            if image.filename.startswith("/") or ".." in Path(image.filename).parts or not name.strip("."):
                raise OutsideError("the file's name leads outside")
            within(root, subfolder, name)
            stored = store(folder, name, content, overwrite=str(form.get("overwrite", "")).lower() in _YES)
        except OutsideError as error:
            raise Refused("outside", f"The file was not stored: {error}", "Send a plain name.") from None
        except SaveError as error:
            raise not_stored(error) from None
        shown = os.path.normpath(subfolder).replace(os.sep, "/") if subfolder else ""
        return reply({"name": stored, "subfolder": "" if shown == "." else shown, "type": kind})

    def _existing(self, named: Mapping[str, Any]) -> Path:
        """The file that a client names with filename, subfolder and type. Raises Refused."""
        filename = named.get("filename")
        if not filename:
            raise Refused("not_found", "There is no such file", "Name it with filename.", status=404)
        kind = named.get("type", "output")
        for suffix in ("input", "output", "temp"):
            if filename.endswith(f" [{suffix}]"):
                filename, kind = filename.removesuffix(f" [{suffix}]"), suffix
        root = self._folders.kind(kind)
        if root is None:
            raise Refused("invalid_request", "type is not input, output or temp", f"It is {kind[:40]!r}.")
        if filename.startswith("/") or ".." in filename:
            raise Refused("outside", "filename may not lead to another folder", "Use subfolder.")
        roots = [root, self._folders.examples] if kind == "input" else [root]
        for place in roots:
            try:
                path = within(place, named.get("subfolder", ""), filename)
                if path.is_file():
                    return path
            except (OutsideError, OSError, ValueError) as error:
                raise Refused("outside", f"There is no such file: {error}", "", status=403) from None
        raise Refused("not_found", "There is no such file", f"It would be in the folder {kind}.", status=404)
