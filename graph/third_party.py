"""Running other people's code: whatever it raises or prints must not end the process or spoil its output.

Guarded code is called in a ``try`` with ``except BaseException as error``, and :func:`raise_if_interrupt`
comes first: a node package may also raise ``SystemExit`` or ``asyncio.CancelledError``, which are not
``Exception``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator


def raise_if_interrupt(error: BaseException) -> None:
    """Raise Ctrl-C again; everything else is a failure of the code that raised it."""
    try:
        if isinstance(error, KeyboardInterrupt):
            raise error
    finally:
        del error  # a frame that keeps the error that it raises is freed only by the cycle collector


def error_text(error: BaseException) -> str:
    """The error's own message, stripped; "" if it has none or its ``__str__`` fails."""
    try:
        return str(error).strip()
    except Exception:
        return ""


def described(error: BaseException) -> str:
    """The error's type and message on one line."""
    text = " ".join(error_text(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def captured_output() -> Iterator[io.StringIO]:
    """Collect what Python code prints to standard output, which belongs to the command."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield printed
