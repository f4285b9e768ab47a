"""Noise levels of FLUX.1's rectified flow. Pure Python."""

import math

# The token counts (pixels / 256) between which the shift grows, and the shift there: the values in
# black-forest-labs/FLUX.1-dev's scheduler_config.json.
BASE_TOKENS, BASE_SHIFT = 256, 0.5
MAX_TOKENS, MAX_SHIFT = 4096, 1.15


def resolution_shift(width: int, height: int) -> float:
    """mu, linear in the number of image tokens of a `width` x `height` pixel picture (not clamped)."""
    slope = (MAX_SHIFT - BASE_SHIFT) / (MAX_TOKENS - BASE_TOKENS)
    return BASE_SHIFT + slope * (width * height / 256 - BASE_TOKENS)


def sigmas(steps: int, width: int, height: int, shift: bool) -> list[float]:
    """Noise levels to visit, from 1 (pure noise) to 0 (the picture).

    `linspace(1, 1 / steps, steps)`, each t shifted to exp(mu) / (exp(mu) + 1 / t - 1) where the model asks
    for it: dev does, schnell does not.

    Parameters
    ----------
    steps
        Number of denoising steps, at least 1.
    width, height
        Pixels.
    shift
        Whether to shift by resolution (`use_dynamic_shifting` in scheduler_config.json).

    Returns
    -------
    list of float
        `steps + 1` strictly decreasing levels, the last 0.

    Raises
    ------
    ValueError
        If `steps` is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    levels = [1 - i / steps for i in range(steps)]
    if shift:
        stretch = math.exp(resolution_shift(width, height))
        levels = [stretch / (stretch + 1 / level - 1) for level in levels]
    return [*levels, 0.0]
