"""The clients on WebSockets, and what they are sent.

Each socket has a queue of its own and one sender, so messages keep their order and a client that does not
read holds up nobody. All methods but `Hub.post...` are for the event loop's thread.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from run_graph.runtime.server.replies import dumped

JPEG, PNG = 1, 2
_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4  # events of binary frames
_IMAGE_TYPES = {JPEG: "image/jpeg", PNG: "image/png"}
_ENOUGH = 16 * 2**20  # bytes that wait for a client: previews are left out from here on
_TOO_MUCH = 64 * 2**20  # and here the client is let go
_TRY_AGAIN_LATER = 1013  # RFC 6455's registry of close codes

Frame = str | bytes


@dataclass(eq=False)
class Client:
    """One socket."""

    sid: str
    socket: WebSocket
    flags: dict[str, Any] = field(default_factory=dict)
    waiting: deque[Frame] = field(default_factory=deque)
    nbytes: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False

    def put(self, frame: Frame) -> None:
        """Add a frame to what is sent, unless the client has stopped reading."""
        droppable = isinstance(frame, bytes)
        if self.gone or (droppable and self.nbytes > _ENOUGH):
            return
        if self.nbytes > _TOO_MUCH:
            self.gone = True
            self.waiting.clear()
        else:
            self.waiting.append(frame)
            self.nbytes += len(frame)
        self.wake.set()


class Hub:
    """All clients of a server.

    Parameters
    ----------
    status : callable
        The data of a ``status`` message now.
    features : mapping
        What the server answers to ``feature_flags``.
    position : callable
        Given a client's id, the id of the node that runs for it, or None.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        features: dict[str, Any],
        position: Callable[[str], str | None],
    ) -> None:
        self._status, self._features, self._position = status, features, position
        self._clients: dict[str, Client] = {}
        self._sockets: set[Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connected(self) -> bool:
        """Whether anybody listens."""
        return bool(self._sockets)

    def start(self) -> None:
        """Send from the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def post(self, kind: str, data: dict[str, Any], sid: str | None) -> None:
        """Send a message to a client or, without an id, to all. From any thread."""
        if self._sockets:
            self._later(self._send, dumped({"type": kind, "data": data}), sid)

    def post_status(self) -> None:
        """Tell all clients how many prompts wait or run. From any thread."""
        self.post("status", self._status(), None)

    def post_preview(self, image: bytes, kind: int, about: dict[str, Any], sid: str | None) -> None:
        """Send a picture of what a node is doing: a preview (`JPEG`) or a result (`PNG`). From any thread.

        ``about`` names the node and the prompt, for clients that ask for it.
        """
        if self._sockets:
            document = dumped({**about, "image_type": _IMAGE_TYPES[kind]}).encode()
            named = struct.pack(">II", _PREVIEW_WITH_METADATA, len(document)) + document + image
            plain = struct.pack(">II", _PREVIEW, kind) + image
            self._later(self._send_preview, plain, named, sid)

    def post_event(self, data: dict[str, Any], sid: str) -> None:
        """Send an event that ComfyUI has no message for, if the client asked for these. From any thread."""
        if self._sockets:
            self._later(self._send_event, dumped({"type": "run_graph_event", "data": data}), sid)

    async def serve(self, socket: WebSocket, sid: str) -> None:
        """Serve one socket until it closes. A newer socket with the same id takes its place."""
        await socket.accept()
        client = Client(sid, socket)
        self._clients[sid] = client
        self._sockets.add(client)
        client.put(dumped({"type": "status", "data": {**self._status(), "sid": sid}}))
        if (node_id := self._position(sid)) is not None:
            client.put(dumped({"type": "executing", "data": {"node": node_id}}))
        sender = asyncio.create_task(_sending(client))
        try:
            await self._reading(client)
        finally:
            client.gone = True
            sender.cancel()
            self._sockets.discard(client)
            if self._clients.get(sid) is client:
                del self._clients[sid]

    async def close(self) -> None:
        """Close all sockets."""
        for client in list(self._sockets):
            client.gone = True
            client.wake.set()

    async def _reading(self, client: Client) -> None:
        """Only a first message that names the client's features is answered."""
        first = True
        while True:
            message = await client.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if first:
                first = False
                flags = _flags(message.get("text"))
                if flags is not None:
                    client.flags = flags
                    client.put(dumped({"type": "feature_flags", "data": self._features}))

    def _later(self, work: Callable[..., None], *values: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *values)

    def _receivers(self, sid: str | None) -> list[Client]:
        if sid is None:
            return list(self._sockets)
        client = self._clients.get(sid)
        return [client] if client is not None else []

    def _send(self, text: str, sid: str | None) -> None:
        for client in self._receivers(sid):
            client.put(text)

    def _send_event(self, text: str, sid: str) -> None:
        for client in self._receivers(sid):
            if client.flags.get("run_graph_events"):
                client.put(text)

    def _send_preview(self, plain: bytes, named: bytes, sid: str | None) -> None:
        for client in self._receivers(sid):
            client.put(named if client.flags.get("supports_preview_metadata") else plain)


async def _sending(client: Client) -> None:
    try:
        while True:
            while client.waiting:
                frame = client.waiting.popleft()
                client.nbytes -= len(frame)
                if isinstance(frame, str):
                    await client.socket.send_text(frame)
                else:
                    await client.socket.send_bytes(frame)
            if client.gone:
                await client.socket.close(_TRY_AGAIN_LATER)
                return
            client.wake.clear()
            await client.wake.wait()
    except (WebSocketDisconnect, RuntimeError, OSError):  # it has gone meanwhile
        return


def _flags(text: Any) -> dict[str, Any] | None:
    """The features that a client's first message names; None if it is another message."""
    if not isinstance(text, str):
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    flags = message.get("data")
    return flags if isinstance(flags, dict) else {}
