"""How far a run of many pictures is: ``3 of 12, about 40 s left``."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from run_graph.runtime.cli.stages import Stages
from run_graph.runtime.events import (
    Event,
    NodeFinished,
    NodeProgress,
    NodeResumed,
    NodeReused,
    NodeStarted,
    RunStarted,
)
from run_graph.runtime.units import duration_text

_INTERVAL = 0.5  # seconds between two estimates: each walks over the nodes that are still to come


class Overall:
    """A listener that counts finished targets and estimates the time left.

    A node that is still to come takes as long as those of its class took on average. The estimate begins when
    a node that counts steps has been timed, since such nodes take nearly all of the time.

    Parameters
    ----------
    stages : mapping
        The nodes of the run.
    clock : callable
        Seconds that only grow.

    Attributes
    ----------
    done, total : int
        Targets.
    """

    def __init__(self, stages: Stages, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = self.total = 0
        self._stages = stages
        self._clock = clock
        self._targets: set[str] = set()
        self._finished: set[str] = set()
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)  # by class
        self._counting: set[str] = set()  # classes that count steps
        self._current: _Current | None = None
        self._estimated = float("-inf")
        self._ends: float | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._targets = set(event.targets)
            self.total = len(event.targets)
        elif isinstance(event, NodeStarted):
            self._current = _Current(event.node_id, event.class_type, self._clock())
        elif isinstance(event, NodeResumed) and self._current and event.node_id == self._current.node_id:
            self._current.resume(_share(event))
        elif isinstance(event, NodeProgress) and self._current and event.node_id == self._current.node_id:
            self._counting.add(self._current.class_type)
            self._current.advance(_share(event))
        elif isinstance(event, NodeFinished | NodeReused):
            self._finish(event)

    def text(self) -> str:
        """The line; "" for a run with one target or none."""
        if self.total < 2:
            return ""
        line = f"{self.done} of {self.total}"
        left = self._seconds_left() if self.done < self.total else None
        return line if left is None else f"{line}, about {duration_text(left)} left"

    def _finish(self, event: NodeFinished | NodeReused) -> None:
        self._finished.add(event.node_id)
        if event.node_id in self._targets:
            self._targets.discard(event.node_id)
            self.done += 1
        if isinstance(event, NodeFinished):
            current = self._current
            skipped = current.skipped if current and current.node_id == event.node_id else 0.0
            self._seconds[event.class_type].append(event.seconds / max(1 - skipped, 0.01))
        if self._current and self._current.node_id == event.node_id:
            self._current = None

    def _seconds_left(self) -> float | None:
        now = self._clock()
        if now - self._estimated >= _INTERVAL:
            left = self._estimate(now)
            self._estimated, self._ends = now, None if left is None else now + left
        return None if self._ends is None else max(self._ends - now, 0)

    def _estimate(self, now: float) -> float | None:
        means = {name: sum(seconds) / len(seconds) for name, seconds in self._seconds.items()}
        current, left = self._current, 0.0
        if current and (whole := current.seconds_in_all(now) or means.get(current.class_type)):
            means.setdefault(current.class_type, whole)
            left -= min((now - current.began) + current.skipped * whole, whole)
        if not self._counting & means.keys():
            return None
        to_come = Counter(self._stages[node_id].class_type for node_id in self._to_come())
        return max(left + sum(means.get(name, 0.0) * count for name, count in to_come.items()), 0.0)

    def _to_come(self) -> Iterator[str]:
        """The nodes that unfinished targets need, the one that is running included."""
        pending, seen = list(self._targets), set(self._finished)
        while pending:
            node_id = pending.pop()
            if node_id not in seen and node_id in self._stages:
                seen.add(node_id)
                yield node_id
                pending += self._stages[node_id].sources


def _share(event: NodeProgress | NodeResumed) -> float:
    return event.value / event.maximum if event.maximum else 0.0


class _Current:
    """The node that is running, and how much of it is done; ``skipped`` was done by an earlier run."""

    def __init__(self, node_id: str, class_type: str, began: float) -> None:
        self.node_id = node_id
        self.class_type = class_type
        self.began = began
        self.skipped = self.done = 0.0

    def resume(self, share: float) -> None:
        self.skipped = self.done = share

    def advance(self, share: float) -> None:
        self.done = share

    def seconds_in_all(self, now: float) -> float | None:
        """How long the whole node takes, judged by what this run has done of it."""
        own = self.done - self.skipped
        return (now - self.began) / own if own > 0 else None
