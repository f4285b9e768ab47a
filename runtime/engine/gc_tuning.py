"""Keeps Python's garbage collector from walking a large run's objects again and again for nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# Three times the objects in the plan, result and cache entry of a node that does nothing.
_OBJECTS_A_NODE = 30

_lock = Lock()
_relaxed_runs = 0
_usual: tuple[int, int, int] = gc.get_threshold()


@contextmanager
def relaxed_gc(nodes: int) -> Iterator[None]:
    """Delay the collector's search for cycles until a run of this many nodes has made its objects.

    By default it looks after every 700 new objects, and walks all existing objects when they have grown by a
    quarter: in a run of 20,000 nodes some 200,000 objects, none of which can be freed. For the few nodes of
    a usual workflow nothing changes. Runs may overlap, on several threads: the last to end restores the
    thresholds.
    """
    global _relaxed_runs, _usual
    with _lock:
        if not _relaxed_runs:
            _usual = gc.get_threshold()
        _relaxed_runs += 1
        youngest, *older = gc.get_threshold()
        # 0 means never.
        gc.set_threshold(youngest and max(youngest, nodes * _OBJECTS_A_NODE), *older)
    try:
        yield
    finally:
        with _lock:
            _relaxed_runs -= 1
            if not _relaxed_runs:
                gc.set_threshold(*_usual)
