"""Pictures for a client program that waits for them, rather than for a file."""

from __future__ import annotations

from collections.abc import Callable


class PictureReceiver:
    """Where a session's nodes send finished pictures. A service: a server says who receives them.

    Attributes
    ----------
    send : callable or None
        Gets the id of a node and a picture as PNG. None: nobody waits for pictures.
    """

    def __init__(self) -> None:
        self.send: Callable[[str, bytes], None] | None = None
