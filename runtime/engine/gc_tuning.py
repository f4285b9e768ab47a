"""Python's garbage collector, kept from walking a large run's objects over and over in vain."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# Three times what the plan, result and place in a cache of a node that does nothing come to.
_OBJECTS_A_NODE = 30

_lock = Lock()
_patient_runs = 0
_usual: tuple[int, int, int] = gc.get_threshold()


@contextmanager
def relaxed_gc(nodes: int) -> Iterator[None]:
    """Let the collector wait, before it looks for cycles, until a run of so many nodes has made its objects.

    As a rule it looks each time that 700 objects have been added, and walks all there are when they have
    grown by a quarter: of a run of 20,000 nodes some 200,000, none of which can go. For the few nodes
    of a usual workflow nothing changes. Runs may overlap, on several threads: the last one restores the rule.
    """
    global _patient_runs, _usual
    with _lock:
        if not _patient_runs:
            _usual = gc.get_threshold()
        _patient_runs += 1
        youngest, *older = gc.get_threshold()
        # 0 means never.
        gc.set_threshold(youngest and max(youngest, nodes * _OBJECTS_A_NODE), *older)
    try:
        yield
    finally:
        with _lock:
            _patient_runs -= 1
            if not _patient_runs:
                gc.set_threshold(*_usual)
