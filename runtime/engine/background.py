"""A second thread for work that needs no model, such as compressing a PNG and writing it.

MLX stays on the thread that runs everything else. Work is done in the order of submission, one piece at a
time, so that files get the same numbers as without the second thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

Result = TypeVar("Result")


class BackgroundThread(Generic[Result]):
    """Runs work beside the caller's thread; true while a result has not been taken."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[tuple[str, Future[tuple[Result, float]]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._pending)

    def submit(self, name: str, work: Callable[[], Result]) -> None:
        """Begin or queue some work; ``name`` comes back with its result."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "background")
        # In a copy of this thread's context: the work belongs to the run that submits it.
        self._pending.append((name, self._pool.submit(copy_context().run, _timed, work)))

    def results(self, *, wait: bool) -> Iterator[tuple[str, Callable[[], tuple[Result, float]]]]:
        """The work that has finished, in order: names, and functions that return result and seconds or raise.

        With ``wait``, wait for the first.
        """
        while self._pending and (wait or self._pending[0][1].done()):
            self._pending[0][1].exception()  # waits; taken only afterwards, so that Ctrl-C loses nothing
            name, future = self._pending.popleft()
            wait = False
            yield name, future.result

    def close(self) -> None:
        """End the thread once all submitted work is done."""
        if self._pool is not None:
            self._pool.shutdown()


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started
