"""Where a server is, and the token that it wants. Imports little: the command line reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from run_graph.runtime.remote.errors import ServerError

TOKEN_VARIABLE = "RUN_GRAPH_TOKEN"


@dataclass(frozen=True)
class Address:
    """A server's address.

    Attributes
    ----------
    url : str
        Such as ``http://127.0.0.1:8188``, without a slash at its end.
    token : str or None
        Sent as ``Authorization: Bearer TOKEN``.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: str, token: str | None = None) -> Address:
        """The address that a user wrote; the token's default is the variable ``RUN_GRAPH_TOKEN``.

        Raises
        ------
        ServerError
            If it is not an address.
        """
        return cls(checked_url(text), token or os.environ.get(TOKEN_VARIABLE) or None)

    @property
    def socket_url(self) -> str:
        """Where its WebSocket is."""
        return "ws" + self.url.removeprefix("http") + "/ws"


def checked_url(text: str) -> str:
    """The URL of a server; ``http://`` may be left out. Raises ServerError."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        parts.port  # noqa: B018 - raises if it is no number
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in url):
        raise ServerError(f"{text!r} is not the address of a server, such as http://127.0.0.1:8188")
    return url.rstrip("/")
