"""Quantiles of the beta distribution. Pure Python."""

import math

STEPS = 200  # of the continued fraction, and of the search; a handful is usual
SMALL = 1e-300


def quantile(probability: float, alpha: float, beta: float) -> float:
    """The value below which a beta-distributed number lies with this probability.

    Newton's method on the distribution function, within a bracket that is halved where it fails.

    Parameters
    ----------
    probability
        0 to 1.
    alpha, beta
        Above 0.

    Raises
    ------
    ValueError
        If `alpha` or `beta` is not above 0.
    """
    if not (alpha > 0 and beta > 0):
        raise ValueError(f"a beta distribution's alpha and beta must be above 0, not {alpha:g} and {beta:g}")
    if probability in (0.0, 1.0):
        return probability
    if alpha == beta and probability == 0.5:
        return 0.5
    low, high, x = 0.0, 1.0, alpha / (alpha + beta)
    for _ in range(STEPS):
        error = distribution(x, alpha, beta) - probability
        low, high = (x, high) if error < 0 else (low, x)
        following = x - error / max(math.exp(_log_density(x, alpha, beta)), SMALL)
        if not low < following < high:
            following = (low + high) / 2
        if following == x or following in (0.0, 1.0):
            break
        x = following
    return x


def distribution(x: float, alpha: float, beta: float) -> float:
    """The probability of a number below x, 0 to 1: the regularised incomplete beta function.

    By Lentz's method on its continued fraction, DLMF 8.17.22, which converges quickly below the mean; above
    it, by symmetry.
    """
    if x in (0.0, 1.0):
        return x
    if x > (alpha + 1) / (alpha + beta + 2):
        return 1 - distribution(1 - x, beta, alpha)
    front = math.exp(_log_density(x, alpha, beta)) * x * (1 - x) / alpha
    numerator, denominator, fraction = 1.0, 0.0, 1.0
    for step in range(1, STEPS):
        term = _term(step, x, alpha, beta)
        denominator = 1 / _nonzero(1 + term * denominator)
        numerator = _nonzero(1 + term / numerator)
        change = numerator * denominator
        fraction *= change
        if abs(change - 1) < 1e-16:
            break
    return front / fraction


def _term(step: int, x: float, alpha: float, beta: float) -> float:
    """The numerators of the continued fraction 1 / (1 + d1 / (1 + d2 / ...)) by number from 1."""
    m, odd = divmod(step, 2)
    if odd:
        return -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
    return m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))


def _nonzero(value: float) -> float:
    return value if abs(value) > SMALL else SMALL


def _log_density(x: float, alpha: float, beta: float) -> float:
    scale = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
    return scale + (alpha - 1) * math.log(x) + (beta - 1) * math.log1p(-x)
