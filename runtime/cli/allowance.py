"""How many lines about quick stages a display prints: a run may have thousands of nodes."""

from __future__ import annotations

from collections.abc import Callable

from run_graph.runtime.events import NodeFinished, NodeReused

_LONG = 1.0  # seconds; a stage that took so long always has its line


class Allowance:
    """Lines that may be printed now.

    Parameters
    ----------
    at_once : int
        As many at the beginning, and at most.
    a_second : int
        As many more for each second that passes.
    clock : callable
        Seconds that only grow.
    """

    def __init__(self, at_once: int, a_second: int, clock: Callable[[], float]) -> None:
        self._at_once, self._a_second, self._clock = at_once, a_second, clock
        self._left, self._since = float(at_once), clock()

    def covers(self, event: NodeFinished | NodeReused) -> bool:
        """Whether this result may have its line, which is then counted."""
        if isinstance(event, NodeFinished) and event.seconds >= _LONG:
            return True
        now = self._clock()
        self._left = min(self._left + (now - self._since) * self._a_second, self._at_once)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
