"""An asyncio loop on a thread of its own, for dask's coroutines beside a program that has none."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")

_LOGGER = logging.getLogger(__name__)


class LoopThread:
    """Runs coroutines and functions on its loop until it is closed.

    Parameters
    ----------
    name : str
        The thread's.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log)
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Value], seconds: float | None = None) -> Value:
        """Run a coroutine and return its result. Raises what it raises, or TimeoutError after ``seconds``."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """Let the loop call a function."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _log(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waited for, such as dask's timers when a connection ends: not for the user."""
    _LOGGER.debug("%s", context.get("message"), exc_info=context.get("exception"))
