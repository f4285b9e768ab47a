"""Schedules: which noise levels a run visits. Pure Python.

A schedule is one function of a number of steps and a :class:`NoiseScale`, and one row of ``SCHEDULES``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

# The token counts (pixels / 256) between which the shift grows, and the shift there: the values in
# black-forest-labs/FLUX.1-dev's scheduler_config.json.
BASE_TOKENS, BASE_SHIFT = 256, 0.5
MAX_TOKENS, MAX_SHIFT = 4096, 1.15


def resolution_shift(width: int, height: int) -> float:
    """mu, linear in the number of image tokens of a `width` x `height` pixel picture (not clamped)."""
    slope = (MAX_SHIFT - BASE_SHIFT) / (MAX_TOKENS - BASE_TOKENS)
    return BASE_SHIFT + slope * (width * height / 256 - BASE_TOKENS)


@dataclass(frozen=True)
class NoiseScale:
    """How a model's time t, 0 (the picture) to 1 (pure noise), maps to noise levels.

    Attributes
    ----------
    mu : float or None
        The level of t is exp(mu) / (exp(mu) + 1 / t - 1), as FLUX.1-dev asks for; None: t itself, as schnell.
    levels : int
        Number of the levels that the model was trained on, t = 1 / levels, 2 / levels, ... 1: ComfyUI's
        10,000 for FLUX.1-dev and 1,000 for schnell.
    """

    mu: float | None
    levels: int

    def at(self, time: float) -> float:
        """The noise level at a time above 0."""
        if self.mu is None:
            return time
        stretch = math.exp(self.mu)
        return stretch / (stretch + 1 / time - 1)

    @property
    def lowest(self) -> float:
        """The lowest level above 0."""
        return self.at(1 / self.levels)


def noise_scale(width: int, height: int, *, shift: bool) -> NoiseScale:
    """The scale of a picture of this size in pixels.

    `shift` says whether the model shifts by resolution (`use_dynamic_shifting` in scheduler_config.json).
    """
    return NoiseScale(resolution_shift(width, height), 10_000) if shift else NoiseScale(None, 1_000)


Schedule = Callable[[int, NoiseScale], list[float]]


def linear(steps: int, scale: NoiseScale) -> list[float]:
    """`linspace(1, 1 / steps, steps)`, each mapped to its noise level: mflux's and diffusers' schedule."""
    return [*(scale.at(1 - i / steps) for i in range(steps)), 0.0]


def simple(steps: int, scale: NoiseScale) -> list[float]:
    """`linear` on the levels that the model was trained on: ComfyUI's ``simple``."""
    skipped = (int(i * scale.levels / steps) for i in range(steps))
    return [*(scale.at((scale.levels - count) / scale.levels) for count in skipped), 0.0]


def normal(steps: int, scale: NoiseScale) -> list[float]:
    """Evenly spaced noise levels from the highest to the lowest, mapped once more: ComfyUI's ``normal``."""
    return [*(scale.at(time) for time in _spaced(1.0, scale.lowest, steps)), 0.0]


def sgm_uniform(steps: int, scale: NoiseScale) -> list[float]:
    """As `normal`, with the lowest level left out: ComfyUI's ``sgm_uniform``."""
    return [*(scale.at(time) for time in _spaced(1.0, scale.lowest, steps + 1)[:-1]), 0.0]


SCHEDULES: dict[str, Schedule] = {
    "linear": linear,
    "simple": simple,
    "normal": normal,
    "sgm_uniform": sgm_uniform,
}
"""All schedules by the names that mflux (``linear``) and ComfyUI give them."""

if TYPE_CHECKING:
    ScheduleName = str
else:
    ScheduleName = Literal[tuple(SCHEDULES)]


def sigmas(steps: int, width: int, height: int, shift: bool, schedule: str = "linear") -> list[float]:
    """Noise levels to visit, from 1 (pure noise) to 0 (the picture).

    Parameters
    ----------
    steps
        Number of denoising steps, at least 1.
    width, height
        Pixels.
    shift
        Whether to shift by resolution; see `noise_scale`.
    schedule
        A name in `SCHEDULES`.

    Returns
    -------
    list of float
        `steps + 1` strictly decreasing levels, the last 0.

    Raises
    ------
    ValueError
        If `steps` is below 1, or so large that levels coincide; says what to do.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    scale = noise_scale(width, height, shift=shift)
    levels = SCHEDULES[schedule](steps, scale)
    if any(level <= following for level, following in pairwise(levels)):
        raise ValueError(
            f"the schedule {schedule!r} has no {steps} different noise levels for this model; "
            f"use at most {scale.levels} steps, or the schedule 'linear'"
        )
    return levels


def _spaced(first: float, last: float, count: int) -> list[float]:
    if count == 1:
        return [first]
    return [first + (last - first) * i / (count - 1) for i in range(count)]
