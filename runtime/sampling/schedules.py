"""Schedules: which noise levels a run visits. Pure Python.

A schedule is one function of a number of steps and a :class:`NoiseScale`, and one row of ``SCHEDULES``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from run_graph.runtime.sampling.beta_distribution import quantile
from run_graph.runtime.sampling.spacing import exponential_levels, karras_levels, spaced

# The token counts (pixels / 256) between which the shift grows, and the shift there: the values in
# black-forest-labs/FLUX.1-dev's scheduler_config.json.
BASE_TOKENS, BASE_SHIFT = 256, 0.5
MAX_TOKENS, MAX_SHIFT = 4096, 1.15

DEV_LEVELS, SCHNELL_LEVELS = 10_000, 1_000  # that ComfyUI counts for each
NEAR_ZERO = 1e-5  # Levels below it count as 0 in ComfyUI.


def flux_shift(max_shift: float, base_shift: float, width: int, height: int) -> float:
    """ModelSamplingFlux's mu: linear in the image's tokens, `base_shift` at 256 and `max_shift` at 4096."""
    slope = (max_shift - base_shift) / (MAX_TOKENS - BASE_TOKENS)
    return base_shift + slope * (width * height / 256 - BASE_TOKENS)


def resolution_shift(width: int, height: int) -> float:
    """mu, linear in the number of image tokens of a `width` x `height` pixel picture (not clamped)."""
    return flux_shift(MAX_SHIFT, BASE_SHIFT, width, height)


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

    def at_part(self, done: float) -> float:
        """The noise level after this part, 0 to 1, of the way from noise to picture: from 1 to 0."""
        if not 0 < done < 1:
            return 0.0 if done else 1.0
        return self.at(1 - done)

    @property
    def lowest(self) -> float:
        """The lowest level above 0."""
        return self.at(1 / self.levels)


PLAIN_SCALE = NoiseScale(None, SCHNELL_LEVELS)
"""schnell's: the levels are the times."""


def comfyui_scale(mu: float | None, *, shift: bool) -> NoiseScale:
    """The scale of a model in ComfyUI, where its own shift does not depend on the picture's size.

    Parameters
    ----------
    mu
        What ModelSamplingFlux has set, or None for the model's own.
    shift
        Whether the model shifts its levels: dev does, by 1.15; schnell does not.
    """
    if mu is not None:
        return NoiseScale(mu, DEV_LEVELS)
    return NoiseScale(MAX_SHIFT, DEV_LEVELS) if shift else PLAIN_SCALE


def noise_scale(width: int, height: int, *, shift: bool) -> NoiseScale:
    """The scale of a picture of this size in pixels.

    `shift` says whether the model shifts by resolution (`use_dynamic_shifting` in scheduler_config.json).
    """
    return NoiseScale(resolution_shift(width, height), DEV_LEVELS) if shift else PLAIN_SCALE


Schedule = Callable[[int, NoiseScale], list[float]]


def linear(steps: int, scale: NoiseScale) -> list[float]:
    """`linspace(1, 1 / steps, steps)`, each mapped to its noise level: mflux's and diffusers' schedule."""
    return [*(scale.at(1 - i / steps) for i in range(steps)), 0.0]


def simple(steps: int, scale: NoiseScale) -> list[float]:
    """`linear` on the levels that the model was trained on: ComfyUI's ``simple``."""
    skipped = (int(i * scale.levels / steps) for i in range(steps))
    return [*(scale.at((scale.levels - count) / scale.levels) for count in skipped), 0.0]


def sgm_uniform(steps: int, scale: NoiseScale) -> list[float]:
    """As `normal`, with the lowest level left out: ComfyUI's ``sgm_uniform``."""
    return [*(scale.at(time) for time in spaced(1.0, scale.lowest, steps + 1)[:-1]), 0.0]


def karras(steps: int, scale: NoiseScale) -> list[float]:
    """`karras_levels` from the highest level to the lowest: ComfyUI's ``karras``."""
    return karras_levels(steps, 1.0, scale.lowest)


def exponential(steps: int, scale: NoiseScale) -> list[float]:
    """`exponential_levels` from the highest level to the lowest: ComfyUI's ``exponential``."""
    return exponential_levels(steps, 1.0, scale.lowest)


def ddim_uniform(steps: int, scale: NoiseScale) -> list[float]:
    """Every k-th level of the model's from the second up, k = levels // steps: ComfyUI's ``ddim_uniform``.

    It begins below 1, and has a step more than asked for where `steps` does not divide the number of levels.
    """
    second = scale.at(2 / scale.levels)
    count, last = (steps + 1, []) if math.isclose(second, 0, abs_tol=NEAR_ZERO) else (steps, [0.0])
    places = range(1, scale.levels, max(scale.levels // count, 1))
    return [*(scale.at((place + 1) / scale.levels) for place in reversed(places)), *last]


def beta(steps: int, scale: NoiseScale) -> list[float]:
    """`beta_levels` of the distribution Beta(0.6, 0.6): ComfyUI's ``beta``."""
    return beta_levels(steps, scale, 0.6, 0.6)


def beta_levels(steps: int, scale: NoiseScale, alpha: float, beta: float) -> list[float]:
    """The model's levels at the quantiles 1, 1 - 1 / steps, ... of a beta distribution over them, then 0.

    A level that comes twice is taken once, so that there may be fewer steps. Lee et al., arXiv 2407.12173.
    Raises ValueError if `alpha` or `beta` is not above 0.
    """
    top = scale.levels - 1
    places = [round(quantile(1 - i / steps, alpha, beta) * top) for i in range(steps)]
    return [*(scale.at((place + 1) / scale.levels) for place in dict.fromkeys(places)), 0.0]


def turbo_levels(steps: int, scale: NoiseScale, denoise: float) -> list[float]:
    """The levels of times 999, 899, ... from the tenth `denoise` on, at most `steps`, then 0: SD Turbo's."""
    times = range(999, 0, -100)[10 - int(10 * denoise) :][:steps]
    return [*(scale.at(time) for time in times), 0.0]


def normal(steps: int, scale: NoiseScale) -> list[float]:
    """Evenly spaced noise levels from the highest to the lowest, mapped once more: ComfyUI's ``normal``.

    Where the lowest is next to 0, it stands for 0.
    """
    if math.isclose(scale.at(scale.lowest), 0, abs_tol=NEAR_ZERO):
        return [scale.at(time) for time in spaced(1.0, scale.lowest, steps + 1)]
    return [*(scale.at(time) for time in spaced(1.0, scale.lowest, steps)), 0.0]


def linear_quadratic(steps: int, scale: NoiseScale) -> list[float]:
    """Half of the steps lead evenly from 1 to 0.975, the rest ever faster to 0: ``linear_quadratic``.

    The quadratic part goes on from the linear part's end with its slope: Mochi's schedule, whose threshold is
    0.025.
    """
    if steps == 1:
        return [1.0, 0.0]
    first, threshold = steps // 2, 0.025
    last = steps - first
    rest = first - threshold * steps
    bend, slope = rest / (first * last**2), threshold / first - 2 * rest / last**2
    start = bend * first**2
    even = [i * threshold / first for i in range(first)]
    curved = [bend * i**2 + slope * i + start for i in range(first, steps)]
    return [1 - done for done in [*even, *curved, 1.0]]


def kl_optimal(steps: int, scale: NoiseScale) -> list[float]:
    """Levels whose arcus tangents are evenly spaced: ComfyUI's ``kl_optimal``.

    Of one step ComfyUI makes a level that is not a number; here it is 1. Sabour et al., arXiv 2404.14507.
    """
    _, *angles = spaced(math.atan(1.0), math.atan(scale.lowest), steps)
    return [1.0, *(math.tan(angle) for angle in angles), 0.0]


COMFYUI_SCHEDULES: dict[str, Schedule] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "karras": karras,
    "exponential": exponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
}
"""ComfyUI's schedules in its order."""

SCHEDULES: dict[str, Schedule] = {"linear": linear, **COMFYUI_SCHEDULES}
"""All schedules by the names that mflux (``linear``) and ComfyUI give them."""

if TYPE_CHECKING:
    ScheduleName = str
    ComfyuiScheduleName = str
else:
    ScheduleName = Literal[tuple(SCHEDULES)]
    ComfyuiScheduleName = Literal[tuple(COMFYUI_SCHEDULES)]


def last_levels(schedule: str, steps: int, scale: NoiseScale, denoise: float = 1.0) -> list[float]:
    """The last `steps` steps of int(steps / denoise), as ComfyUI's BasicScheduler gives them.

    Parameters
    ----------
    schedule
        A name in `SCHEDULES`.
    steps
        At least 1.
    scale
        The model's.
    denoise
        0 to 1: how much of the way from noise to picture they lead.

    Returns
    -------
    list of float
        At most `steps + 1` levels; none for a `denoise` of 0.
    """
    if denoise <= 0:
        return []
    total = int(steps / denoise) if denoise < 1 else steps
    return SCHEDULES[schedule](total, scale)[-(steps + 1) :]


def ksampler_levels(
    schedule: str, steps: int, scale: NoiseScale, denoise: float, drops_penultimate: bool
) -> list[float]:
    """The levels that ComfyUI's KSampler visits.

    Parameters
    ----------
    schedule, steps, scale
        As for `last_levels`.
    denoise
        Below 1: the last steps of a schedule with steps / denoise of them. 0 gives none.
    drops_penultimate
        Whether a schedule with a step more is taken, and its last level above 0 left out.
    """
    if denoise <= 0:
        return []
    total = steps if denoise > 0.9999 else int(steps / denoise)
    if drops_penultimate:
        levels = SCHEDULES[schedule](total + 1, scale)
        levels = [*levels[:-2], levels[-1]]
    else:
        levels = SCHEDULES[schedule](total, scale)
    return levels if total == steps else levels[-(steps + 1) :]


def sigmas(steps: int, width: int, height: int, shift: bool, schedule: str = "linear") -> list[float]:
    """`levels` for a picture of this size in pixels; `shift` is that of `noise_scale`."""
    return levels(steps, noise_scale(width, height, shift=shift), schedule)


def levels(steps: int, scale: NoiseScale, schedule: str = "linear") -> list[float]:
    """Noise levels to visit, from 1 (pure noise), or a little below, to 0 (the picture).

    Parameters
    ----------
    steps
        Number of denoising steps, at least 1.
    scale
        The model's, for the size of the picture.
    schedule
        A name in `SCHEDULES`.

    Returns
    -------
    list of float
        `steps + 1` strictly decreasing levels, the last 0; see `ddim_uniform` for where it may be one more,
        and begin below 1.

    Raises
    ------
    ValueError
        If `steps` is below 1, or so large that levels coincide; says what to do.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    found = SCHEDULES[schedule](steps, scale)
    if len(found) <= steps or any(level <= following for level, following in pairwise(found)):
        raise ValueError(
            f"the schedule {schedule!r} has no {steps} different noise levels for this model; "
            f"use at most {scale.levels} steps, or the schedule 'linear'"
        )
    return found
