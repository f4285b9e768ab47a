"""Who is answered: checks of each request before any of our code sees it.

A page of another site can make a browser send requests to this machine. Its requests are recognised by the
browser's own headers (Fetch Metadata, W3C; Origin, RFC 6454), and by the Host header, under which a foreign
name would otherwise reach a loopback address (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from run_graph.runtime.server.replies import dumped
from run_graph.runtime.server.settings import ServerSettings

COOKIE = "run_graph_token"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WHAT_TO_DO = {
    "host": "start the server with --allow-host to answer under this name",
    "token": "send the header Authorization: Bearer TOKEN, or open /?token=TOKEN in a browser",
}


@dataclass(frozen=True)
class Refusal:
    """An answer in place of the one that was asked for."""

    status: int
    text: str


class Guards:
    """The checks around an application.

    Parameters
    ----------
    app : ASGI application
    settings : ServerSettings
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings
        self._hosts = {
            *_LOOPBACK,
            settings.listen.lower(),
            *(host.lower() for host in settings.allowed_hosts),
        }
        self._any_address = settings.listen in ("0.0.0.0", "::", "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
        elif scope["type"] == "http" and (page := self._login(scope)) is not None:
            await page(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            await Response(status_code=200)(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        if not self._is_ours(headers.get("host", "")):
            return Refusal(403, f"this server does not answer to that Host; {_WHAT_TO_DO['host']}")
        if headers.get("sec-fetch-site") == "cross-site":
            return Refusal(403, "a page of another site may not use this server")
        if not _same_origin(headers.getlist("origin"), headers.get("host", "")):
            return Refusal(403, "a page of another origin may not use this server")
        if not self._has_token(scope, headers):
            return Refusal(401, f"this server wants a token: {_WHAT_TO_DO['token']}")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return Refusal(400, "Content-Length is not a number")
        if len(length) > 15 or int(length) > self._settings.limits.body:
            return Refusal(413, f"a request may have at most {self._settings.limits.body:,} bytes")
        return None

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if name is None:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        wanted = self._settings.token
        if wanted is None:
            return True
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if kind.lower() == "bearer" else []
        given += [_cookie(headers), *_query(scope).get("token", [])]
        return any(hmac.compare_digest(each.encode(errors="replace"), wanted.encode()) for each in given)

    def _login(self, scope: Scope) -> Response | None:
        """A browser that brings the token in the address keeps it in a cookie, out of the address."""
        query = _query(scope)
        if self._settings.token is None or scope["path"] != "/" or "token" not in query:
            return None
        rest = urlencode({name: values for name, values in query.items() if name != "token"}, doseq=True)
        page = RedirectResponse(f"/?{rest}" if rest else "/", status_code=303)
        page.set_cookie(COOKIE, self._settings.token, httponly=True, samesite="strict")
        return page

    def _counted(self, receive: Receive) -> Receive:
        """The body of a request without Content-Length has a limit too."""
        maximum, received = self._settings.limits.body, 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > maximum:
                    raise HTTPException(413, f"a request may have at most {maximum:,} bytes")
            return message

        return counting


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-content-type-options", b"nosniff")]}
        await send(message)

    return sending


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        document = {"error": {"type": "refused", "message": refusal.text, "details": "", "extra_info": {}}}
        text = dumped({**document, "node_errors": {}})
        response = Response(text, refusal.status, media_type="application/json")
        await response(scope, receive, send)
    else:  # closed before it is accepted: the client gets 403
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.text})


def _same_origin(origins: list[str], host: str) -> bool:
    """Whether a request comes from a page of this server, or from no page."""
    given = [origin for origin in origins if origin]
    return all(_place(origin) is not None and _place(origin) == _place(f"http://{host}") for origin in given)


def _place(url: str) -> tuple[str, int] | None:
    """Host and port of a URL; https and http on their usual ports are one place, as behind a proxy."""
    try:
        parts = urlsplit(url)
        usual = parts.scheme in _PORTS and parts.port in (None, _PORTS[parts.scheme])
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return parts.hostname, 0 if usual else parts.port or 0
    except ValueError:
        return None


def _name_of(host: str) -> str | None:
    """The name in a Host header, without its port; None if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises if it is no number
        return parts.hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _query(scope: Scope) -> Mapping[str, list[str]]:
    try:
        return parse_qs(scope.get("query_string", b"").decode("latin-1"))
    except ValueError:
        return {}
