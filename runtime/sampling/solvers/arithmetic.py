"""What the formulas of several families share. Pure Python."""

import math

from run_graph.runtime.sampling.flow import Flow, State


def levels(flow: Flow, state: State) -> tuple[float, float]:
    """s and s' of the step that comes next."""
    return flow.sigmas[state.step], flow.sigmas[state.step + 1]


def log_snr(sigma: float) -> float:
    """Half the logarithm of the signal-to-noise ratio, l(s) = ln((1 - s) / s), of a level between 0 and 1."""
    return math.log((1 - sigma) / sigma)


def level_at(log_snr: float) -> float:
    """The inverse of `log_snr`."""
    return 1 / (1 + math.exp(log_snr))


def phi_2(h: float) -> float:
    """(e^h - 1 - h) / h; h is not 0."""
    return (math.expm1(h) - h) / h


def ancestral(start: float, end: float, eta: float) -> tuple[float, float]:
    """A step in two parts for a variance-exploding process: down to a level, and noise of a deviation on it.

    up = min(end, eta * sqrt(end^2 (start^2 - end^2) / start^2)), down = sqrt(end^2 - up^2): Karras et al.,
    arXiv 2206.00364, in k-diffusion's form. Where the level rises or `start` is infinite, all of `end` is up.

    Returns
    -------
    (float, float)
        down, up
    """
    if not eta:
        return end, 0.0
    if math.isinf(start) or start < end:
        return 0.0, end
    up = min(end, eta * math.sqrt(end**2 * (start**2 - end**2) / start**2))
    return math.sqrt(end**2 - up**2), up


def deviation(variance: float, eta: float) -> float:
    """The root of a variance that rounding may have left below 0.

    Raises ValueError where `eta` is the reason that it is below 0: no such noise exists.
    """
    if variance < -1e-6:
        raise no_noise_fits(eta)
    return math.sqrt(max(variance, 0.0))


def no_noise_fits(eta: float) -> ValueError:
    """The error of an eta that asks for more noise than the next level has."""
    return ValueError(f"no noise fits an eta of {eta:g} between these noise levels; use at most 1")
