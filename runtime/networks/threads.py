"""Threads on the CPU: BLAS computes with one, and large work is cut into parts that a few threads share.

BLAS's own threads wait for each other in a loop that keeps a core busy; on a machine that also has other
work, a product of a millisecond then takes many. Threads that take parts wait only at the end. Parts depend
on shapes alone, so that the number of threads never changes a bit of the result.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Lock
from typing import Any, TypeVar

Part = TypeVar("Part")

WORTH_SHARING = 2**29
"""Operations from which work is shared, about 4 ms: handing over the parts (0.1 ms) is then worth it."""


class _SingleThreadedBlas:
    """While at least one thread is inside, numpy's BLAS computes with one thread; afterwards as before.

    Entering returns the number of threads that BLAS had: all cores, unless the user limits them, for example
    with `OPENBLAS_NUM_THREADS`. It is 1 if the BLAS cannot be controlled.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> int:
        with self._lock:
            if self._inside == 0:
                self._before = [library.num_threads for library in _blas_libraries()]
                self._set_all([1] * len(self._before))
            self._inside += 1
            return max(self._before, default=1)

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._set_all(self._before)

    def _set_all(self, counts: list[int]) -> None:
        for library, before, count in zip(_blas_libraries(), self._before, counts, strict=True):
            if before != 1:
                _set_threads(library, count)


single_threaded_blas = _SingleThreadedBlas()


def in_parts(compute: Callable[[Part], None], parts: Iterable[Part], operations: int) -> None:
    """Call `compute` with every part; on several threads if all parts take many operations together.

    Parts must not depend on each other, and `compute` must not call this function. Its first exception is
    raised, and parts that have not begun are then left out.

    Parameters
    ----------
    compute
        Called with one part at a time on each thread. BLAS is single-threaded within.
    parts
        What to compute. To get the same bits on every machine, it must not depend on the number of threads.
    operations
        Multiplications and additions in all parts together.
    """
    waiting = deque(parts)

    def work() -> None:
        while True:
            try:
                part = waiting.popleft()
            except IndexError:
                return
            try:
                compute(part)
            except BaseException:
                waiting.clear()
                raise

    with single_threaded_blas as threads:
        helpers = min(threads, len(waiting)) - 1
        if operations < WORTH_SHARING or helpers < 1:
            work()
            return
        futures = [_pool().submit(work) for _ in range(helpers)]
        try:
            work()
        finally:
            wait(futures)
        for future in futures:
            future.result()


def _set_threads(library: Any, count: int) -> None:
    # threadpoolctl lets a single Python thread set OpenBLAS's number. The last one out may be another.
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(count)
    release(force=True)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "run-graph-cpu")


@cache
def _blas_libraries() -> tuple[Any, ...]:
    from threadpoolctl import ThreadpoolController

    return tuple(ThreadpoolController().select(user_api="blas").lib_controllers)
