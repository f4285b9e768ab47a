"""Noise levels between two given ones, and published lists: what does not depend on a model. Pure Python.

Except where it says otherwise, a function returns `steps` falling levels and a 0 after them.
"""

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise


def spaced(first: float, last: float, count: int) -> list[float]:
    """`count` evenly spaced numbers from first to last; the first alone if it is one."""
    if count == 1:
        return [first]
    return [first + (last - first) * i / (count - 1) for i in range(count)]


def karras_levels(steps: int, highest: float, lowest: float, rho: float = 7.0) -> list[float]:
    """Levels whose rho-th roots are evenly spaced. Equation 5 of Karras et al., arXiv 2206.00364."""
    if rho == 0:
        raise ValueError("Karras levels need a rho above 0; 7 is usual")
    roots = spaced(highest ** (1 / rho), lowest ** (1 / rho), steps)
    return [*(root**rho for root in roots), 0.0]


def exponential_levels(steps: int, highest: float, lowest: float) -> list[float]:
    """Levels whose logarithms are evenly spaced."""
    return polyexponential_levels(steps, highest, lowest, 1.0)


def polyexponential_levels(steps: int, highest: float, lowest: float, rho: float) -> list[float]:
    """Levels whose logarithms follow a power: ln lowest + r^rho (ln highest - ln lowest), r from 1 to 0."""
    if not (highest > 0 and lowest > 0):
        raise ValueError(f"levels with even logarithms must be above 0; they are {highest:g} and {lowest:g}")
    low, high = math.log(lowest), math.log(highest)
    return [*(math.exp(low + ramp**rho * (high - low)) for ramp in spaced(1.0, 0.0, steps)), 0.0]


def vp_levels(steps: int, beta_d: float, beta_min: float, eps_s: float) -> list[float]:
    """sqrt(e^(t^2 beta_d / 2 + t beta_min) - 1), t evenly from 1 to `eps_s`: a variance-preserving process.

    Song et al., arXiv 2011.13456.
    """
    times = spaced(1.0, eps_s, steps)
    return [*(math.sqrt(math.expm1(beta_d * t**2 / 2 + beta_min * t)) for t in times), 0.0]


def laplace_levels(steps: int, highest: float, lowest: float, mu: float, beta: float) -> list[float]:
    """Quantiles of a Laplace distribution of ln s, limited to the range; no 0. Hang et al., arXiv 2407.03297.

    ln s = mu - beta sign(1/2 - p) ln(1 - 2 |1/2 - p| + 1e-5), p evenly from 0 to 1.
    """
    levels = []
    for place in spaced(0.0, 1.0, steps):
        side = math.copysign(1.0, 0.5 - place) if place != 0.5 else 0.0
        log = mu - beta * side * math.log(1 - 2 * abs(0.5 - place) + 1e-5)
        levels.append(min(max(math.exp(log), lowest), highest))
    return levels


ALIGN_YOUR_STEPS = {
    "SD1": (
        *(14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092),
        *(0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582),
    ),
    "SDXL": (
        *(14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141),
        *(0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582),
    ),
    "SVD": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""Sabour et al., arXiv 2404.14507: research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html."""

OPTIMAL_STEPS = {
    "FLUX": (0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001),
    "Wan": (
        *(1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973, 0.968, 0.96, 0.946),
        *(0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001),
    ),
    "Chroma": (
        *(0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931, 0.917, 0.9),
        *(0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69, 0.646, 0.599, 0.55, 0.501, 0.451, 0.402, 0.355),
        *(0.311, 0.27, 0.232, 0.199, 0.169, 0.143, 0.12, 0.101, 0.084, 0.07, 0.058, 0.048, 0.001),
    ),
}
"""Pei, Hu & Gu, "Optimal Stepsize for Diffusion Sampling", 2025: github.com/bebebe666/OptimalSteps."""


def published_levels(levels: Sequence[float], steps: int, denoise: float) -> list[float]:
    """The last round(steps * denoise) steps of a published list, the last level set to 0.

    For another number of steps than the list's, their logarithms are interpolated. None for a `denoise` of 0.
    """
    if denoise <= 0:
        return []
    if steps + 1 != len(levels):
        levels = _log_interpolated(levels, steps + 1)
    kept = round(steps * denoise) if denoise < 1 else steps
    return [*levels[-(kept + 1) : -1], 0.0]


def flux2_levels(steps: int, width: int, height: int) -> list[float]:
    """FLUX.2's levels, shifted by the picture's size and by the number of steps; from 1 to 0.

    mu is linear in the number of image tokens: with 10 steps by one line; with 200 steps, or more than 4300
    tokens, by another; and linear in the number of steps. github.com/black-forest-labs/flux2 (Apache 2.0).
    """
    tokens = round(width * height / 256)
    at_200 = 0.00016927 * tokens + 0.45666666
    at_10 = 8.73809524e-05 * tokens + 1.89833333
    slope = (at_200 - at_10) / 190
    mu = at_200 if tokens > 4300 else slope * steps + at_200 - 200 * slope
    times = spaced(1.0, 0.0, steps + 1)[:-1]
    return [*(math.exp(mu) / (math.exp(mu) + 1 / time - 1) for time in times), 0.0]


def _log_interpolated(levels: Sequence[float], count: int) -> list[float]:
    """As many levels, evenly placed between the first and the last: their logarithms are interpolated."""
    logs = [math.log(level) for level in levels]
    found = []
    for place in spaced(0.0, len(logs) - 1.0, count):
        index = min(int(place), len(logs) - 2)
        found.append(math.exp(logs[index] + (place - index) * (logs[index + 1] - logs[index])))
    return found


SPACINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda part: part,
    "cosine": lambda part: math.sin(part * math.pi / 2),
    "sine": lambda part: 1 - math.cos(part * math.pi / 2),
}
"""How a part of the way, 0 to 1, is bent: steps stay even, shrink, or grow."""


def extended(levels: Sequence[float], steps: int, start: float, end: float, spacing: str) -> list[float]:
    """With `steps - 1` levels between each from `end` to `start` and the next one.

    `spacing` is a name in `SPACINGS`: how far between the two they are.
    """
    parts = [SPACINGS[spacing](i / steps) for i in range(1, steps)]
    found = []
    for level, following in pairwise(levels):
        found.append(level)
        if end <= level <= start:
            found.extend(level + part * (following - level) for part in parts)
    return [*found, *levels[-1:]]


def written_levels(text: str) -> list[float]:
    """The levels of a text such as "1, 0.5, 0".

    Raises ValueError for anything but decimal numbers with commas, semicolons or spaces between them.
    """
    words = text.replace(",", " ").replace(";", " ").split()
    for word in words:
        if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", word):
            raise ValueError(f"{word!r} is not a noise level; write decimal numbers such as 0.5")
    return [float(word) for word in words]


def flipped(levels: Sequence[float]) -> list[float]:
    """In reverse order, for the way from a picture to its noise. A 0 that comes first is 0.0001."""
    found = list(levels[::-1])
    return [found[0] or 1e-4, *found[1:]] if found else []


def split_at_denoise(levels: Sequence[float], denoise: float) -> tuple[list[float], list[float]]:
    """The steps before the last round(steps * denoise), and those; both with the level between them.

    Nothing is before them if there are none of those.
    """
    count = round(max(len(levels) - 1, 0) * denoise)
    return list(levels[:-count] if count else []), list(levels[-(count + 1) :])
