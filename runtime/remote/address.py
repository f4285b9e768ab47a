"""Where a server is, and the token that it wants."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from run_graph.runtime.remote.url import TOKEN_VARIABLE, checked_url


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
