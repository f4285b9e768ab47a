"""One path of Brownian motion over the noise levels: the noise of the SDE solvers, as torchsde draws it.

A solver that looks at a level twice, or with other steps, must see increments of the same path. torchsde's
`BrownianTree` (github.com/google-research/torchsde, Apache 2.0) makes one from a seed: the increment over the
whole range is drawn first; then any interval is split at its middle, where the path's value given the
increment over the interval is normal about the mean of both ends (a Brownian bridge). Each split draws from
its own seed, numpy's `SeedSequence` of the tree's seed and the split's place in the tree. So what is drawn
depends on the seed and the range alone, not on the order of the questions, and nothing need be saved to
resume.

Levels are rounded to six digits, which ends the halving.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from run_graph.runtime.sampling.torch_noise import Floats, TorchGenerator

DIGITS = 6
POOL_SIZE = 24  # of the seed sequences; torchsde's


@dataclass(frozen=True, eq=False)
class _Interval:
    """A part of the range: its ends, its place (`key` counts those of a depth from 0), its increment."""

    start: float
    end: float
    key: int
    depth: int
    increment: Floats


class BrownianPath:
    """A path between two levels.

    Parameters
    ----------
    seed
        0 to 2**64 - 1.
    shape
        Of the increments.
    low, high
        The range, low below high.
    """

    def __init__(self, seed: int, shape: Sequence[int], low: float, high: float) -> None:
        self._seed = seed
        self._shape = tuple(shape)
        whole = self._drawn() * np.float32(math.sqrt(high - low))
        self._whole = _Interval(round(low, DIGITS), round(high, DIGITS), 0, 0, whole)
        self._halves: dict[tuple[int, int], tuple[_Interval, _Interval]] = {}

    def noise(self, level: float, following: float) -> Floats:
        """The increment from one level to another over the root of their distance: standard normal, float32.

        Levels outside the range count as its ends.

        Raises ValueError if the levels are equal: their distance has no root to divide by.
        """
        if level == following:
            raise ValueError(
                f"two noise levels in a row are {level:.9g}, between which there is no noise to draw; "
                "use fewer steps or another schedule"
            )
        start, end = sorted((level, following))
        increment = self._increment(start, end) / np.float32(math.sqrt(end - start))
        return increment if level < following else -increment

    def _increment(self, start: float, end: float) -> Floats:
        first, last = (self._within(level) for level in (start, end))
        if first >= last:
            return np.zeros(self._shape, np.float32)
        known, self._halves = self._halves, {}  # The next question is near this one: keep its way down.
        parts = self._parts(self._whole, first, last, known)
        total = next(parts).increment
        for part in parts:
            total = total + part.increment
        return total

    def _within(self, level: float) -> float:
        return round(min(max(level, self._whole.start), self._whole.end), DIGITS)

    def _parts(
        self,
        whole: _Interval,
        start: float,
        end: float,
        known: dict[tuple[int, int], tuple[_Interval, _Interval]],
    ) -> Iterator[_Interval]:
        """The fewest intervals of the tree that make up start to end, in order."""
        if (start, end) == (whole.start, whole.end):
            yield whole
            return
        place = whole.depth, whole.key
        halves = self._halves[place] = known.get(place) or self._split(whole)
        middle = halves[0].end
        if start < middle:
            yield from self._parts(halves[0], start, min(end, middle), known)
        if end > middle:
            yield from self._parts(halves[1], max(start, middle), end, known)

    def _split(self, whole: _Interval) -> tuple[_Interval, _Interval]:
        middle = round(0.5 * (whole.end + whole.start), DIGITS)
        length, before, after = whole.end - whole.start, middle - whole.start, whole.end - middle
        mean = np.float32(before) * whole.increment * np.float32(1 / length)
        spread = np.float32(math.sqrt(before * after * (1 / length)))
        first = mean + spread * self._drawn(whole.key, whole.depth)
        key, depth = 2 * whole.key, whole.depth + 1
        return (
            _Interval(whole.start, middle, key, depth, first),
            _Interval(middle, whole.end, key + 1, depth, whole.increment - first),
        )

    def _drawn(self, *place: int) -> Floats:
        """The normal numbers of a place in the tree."""
        sequence = np.random.SeedSequence(self._seed, spawn_key=place, pool_size=POOL_SIZE)
        return TorchGenerator(int(sequence.generate_state(1)[0])).randn(self._shape)


def path_over(seed: int, shape: Sequence[int], levels: Sequence[float]) -> BrownianPath:
    """The path of a run over these noise levels: from the lowest above 0 to the highest."""
    return BrownianPath(seed, shape, min(level for level in levels if level > 0), max(levels))
