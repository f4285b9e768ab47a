"""Forms in requests, as browsers and other clients write them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote_to_bytes

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from run_graph.runtime.server.replies import Refused

_FILES, _FIELDS = 4, 100
# The form of RFC 5987. RFC 7578 (4.2) forbids it here, and the library requests writes it for names beyond
# ASCII.
_EXTENDED = re.compile(rb"filename\*=\s*utf-8'[^']*'([^;\s\"]+)", re.IGNORECASE)


class _Parser(MultiPartParser):
    """Starlette's parser; a file name in the extended form counts too."""

    def on_headers_finished(self) -> None:
        part = self._current_part
        if part.content_disposition is not None:
            part.content_disposition = _EXTENDED.sub(_plain, part.content_disposition)
        super().on_headers_finished()


@asynccontextmanager
async def form_of(request: Request) -> AsyncIterator[FormData]:
    """The form in a request's body, whose files are closed at the end.

    Raises
    ------
    Refused
        If there is no form, or it is damaged.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused("invalid_request", "The request is not multipart/form-data", "Send the file in a form.")
    parser = _Parser(request.headers, request.stream(), max_files=_FILES, max_fields=_FIELDS)
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError, ValueError) as error:
        raise Refused("invalid_request", "The form cannot be read", str(error)[:200]) from None
    try:
        yield form
    finally:
        await form.close()


def _plain(match: re.Match[bytes]) -> bytes:
    name = unquote_to_bytes(match[1]).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return b'filename="' + name + b'"'
