"""Timing alternatives against each other."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds that each round took."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def shown(self, unit: float = 1.0, digits: int = 3) -> str:
        """``median (minimum–maximum)`` in units of ``unit`` seconds."""
        low, middle, high = (f"{value / unit:,.{digits}f}" for value in self._spread())
        return f"{middle} ({low}–{high})"

    def ratio(self, other: Timing) -> float:
        """The median of this time over the other's, taken round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / others for mine, others in pairs)

    def _spread(self) -> tuple[float, float, float]:
        return min(self.seconds), self.median, max(self.seconds)


def alternate(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Run and time every contender once per round.

    The order rotates by one place each round, so that no contender always runs after the same other one.
    Garbage is collected before each call, outside the timing; during the call the collector runs as usual.

    Parameters
    ----------
    contenders : mapping
        What to call, by name. Whatever it computes must be finished when it returns (``mx.eval``).
    rounds : int
        How often each contender is timed.
    warm_up : int
        Rounds before the timed ones.
    clock : callable
        Seconds: `time.perf_counter`, or `time.process_time` for those of the processor, which other programs
        hardly affect.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warm_up + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            started = clock()
            contenders[name]()
            elapsed = clock() - started
            if turn >= warm_up:
                seconds[name].append(elapsed)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}
