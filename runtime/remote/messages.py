"""The server's messages over its WebSocket, also across a lost connection."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from run_graph.runtime.remote.address import Address
from run_graph.runtime.remote.errors import ServerError, ServerGone

PATIENCE = 30.0  # seconds in which a server that has ended may come back
_PAUSE = 0.5  # seconds between two attempts
_FEATURES = json.dumps({"type": "feature_flags", "data": {"run_graph_events": True}})

Message = dict[str, Any]


class Messages:
    """One client's messages.

    Parameters
    ----------
    address : Address
    tell : callable
        Gets what the user should know about the connection.

    Attributes
    ----------
    client : str
        The id under which prompts are sent.
    """

    def __init__(self, address: Address, tell: Callable[[str], None]) -> None:
        self.client = uuid.uuid4().hex
        self._address, self._tell = address, tell
        self._socket: ClientConnection | None = None
        self._open = ExitStack()

    def __enter__(self) -> Messages:
        self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def next(self, seconds: float, check: Callable[[], None] = lambda: None) -> Message | None:
        """The next message; None if there is none in this time, or if some may have been lost.

        Parameters
        ----------
        seconds : float
        check : callable
            Called while a lost server is waited for; what it raises ends that.

        Raises
        ------
        ServerGone
            If the connection was lost and the server has not come back.
        """
        assert self._socket is not None
        try:
            text = self._socket.recv(timeout=seconds)
        except TimeoutError:
            return None
        except (ConnectionClosed, OSError):
            self._wait_for_server(check)
            return None
        if isinstance(text, bytes):  # a preview
            return {"type": "preview", "data": {}}
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        is_good = isinstance(message, dict) and isinstance(message.get("data"), dict)
        return message if is_good else {"type": "unknown", "data": {}}

    def _wait_for_server(self, check: Callable[[], None]) -> None:
        self._close()
        self._tell(f"the connection was lost; waiting {PATIENCE:.0f} s for the server to come back")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            check()
            with suppress(ServerGone):
                self._connect()
                return
            time.sleep(_PAUSE)
        raise ServerGone(f"{self._address.url} has ended and did not come back within {PATIENCE:.0f} s")

    def _connect(self) -> None:
        address = self._address
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        try:
            self._socket = self._open.enter_context(
                connect(
                    f"{address.socket_url}?clientId={self.client}",
                    additional_headers=headers,
                    max_size=None,
                    proxy=None,
                )
            )
            self._socket.send(_FEATURES)
        except InvalidStatus as error:
            raise ServerError(f"{address.url} does not open a WebSocket: {error}") from None
        except (OSError, WebSocketException) as error:
            raise ServerGone(f"no server answers at {address.url} ({error})") from None

    def _close(self) -> None:
        with suppress(OSError, WebSocketException):
            self._open.close()
