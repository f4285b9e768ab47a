"""SA-Solver: a stochastic Adams method with predictor and corrector. Xue et al., arXiv 2309.05019."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.schedules import NoiseScale
from run_graph.runtime.sampling.solvers.arithmetic import log_snr

if TYPE_CHECKING:
    import mlx.core as mx

PREDICTOR_ORDER, CORRECTOR_ORDER = 3, 4
NOISY_TIMES = 0.8, 0.2  # Between the levels of these times noise is added.


def sa_solver(flow: Flow, state: State) -> State:
    """Predict s' from the denoised pictures so far, and correct the step before with the one at its end.

    Both are (s' / s) e^(-tau^2 h) x + the sum of b_i D_i (+ s' sqrt(1 - e^(-2 tau^2 h)) n): `weights`, over
    l(s) = ln((1 - s) / s). tau is 1 in the middle of the run and 0 before and after it. It needs levels below
    1. The step to s' = 0 is to D, without correction. Orders are lower at the start and before an end at 0.

    The state's latents are the predicted ones, its history the corrected ones of the step before, the noise
    that was added then, if any, and the newest denoised pictures.
    """
    return _advance(flow, state, evaluates_again=False)


def sa_solver_pece(flow: Flow, state: State) -> State:
    """`sa_solver` with another evaluation after each correction, which is made at the last step, too."""
    return _advance(flow, state, evaluates_again=True)


def _advance(flow: Flow, state: State, evaluates_again: bool) -> State:
    step, last = state.step, len(flow.sigmas) - 2
    sigma, following = flow.sigmas[step], flow.sigmas[step + 1]
    x = state.latents
    denoised = flow.denoised(x, sigma)
    pictures = [denoised]
    if step > 0:
        before = flow.sigmas[step - 1]
        tau = tau_at(sigma, flow.scale)
        corrected, *rest = state.history
        noise = rest.pop(0) if tau else None
        pictures = [denoised, *rest]
        order = _order(CORRECTOR_ORDER, len(pictures), last + 1 - step, flow.sigmas)
        if following > 0 or evaluates_again:
            x = _moved(corrected, before, sigma, tau, _points(flow, step, order), pictures)
            x = x if noise is None else x + noise
            if evaluates_again:
                pictures[0] = flow.denoised(x, sigma)
    if following == 0:
        return state.then(pictures[0])
    tau = tau_at(following, flow.scale)
    order = _order(PREDICTOR_ORDER, len(pictures), last - step, flow.sigmas)
    predicted = _moved(x, sigma, following, tau, _points(flow, step, order), pictures)
    history = [x]
    if tau:
        draw = sum(1 for each in flow.sigmas[1 : step + 1] if tau_at(each, flow.scale))
        decay = 2 * tau**2 * (log_snr(following) - log_snr(sigma))
        history.append((following * math.sqrt(-math.expm1(-decay))) * flow.noise(draw))
        predicted = predicted + history[-1]
    return state.then(predicted, *history, *pictures[: CORRECTOR_ORDER - 1])


def tau_at(sigma: float, scale: NoiseScale) -> float:
    """How stochastic the step to a level is: 1 or 0."""
    high, low = (scale.at(time) for time in NOISY_TIMES)
    return 1.0 if high >= sigma >= low else 0.0


def weights(points: Sequence[float], start: float, end: float, tau: float) -> list[float]:
    """b_i over 1 - s' by D_i, the newest first, for l from `start` to `end`; `points` are the l of the D_i.

    The integrals of (1 + tau^2) e^((1 + tau^2) (l - end)) times the polynomials that are 1 at one point and 0
    at the others: by the integrals of the powers of l.
    """
    import numpy as np

    rate = 1 + tau**2
    decayed = math.exp(-rate * (end - start))
    integrals = [1 - decayed]
    for power in range(1, len(points)):
        integrals.append(end**power - start**power * decayed - power / rate * integrals[-1])
    solved = np.linalg.solve(np.vander(points, increasing=True).T, integrals)
    return [float(weight) for weight in solved]


def _order(highest: int, pictures: int, left: int, sigmas: Sequence[float]) -> int:
    order = min(highest, pictures)
    return min(order, left) if sigmas[-1] == 0 else order


def _points(flow: Flow, step: int, order: int) -> list[float]:
    """l of the newest levels, newest first."""
    return [log_snr(sigma) for sigma in flow.sigmas[step - order + 1 : step + 1]][::-1]


def _moved(
    x: mx.array,
    sigma: float,
    following: float,
    tau: float,
    points: Sequence[float],
    pictures: Sequence[mx.array],
) -> mx.array:
    """x of the level s moved to s', without noise."""
    start, end = log_snr(sigma), log_snr(following)
    moved = (following / sigma * math.exp(-(tau**2) * (end - start))) * x
    for weight, picture in zip(weights(points, start, end, tau), pictures, strict=False):
        moved = moved + ((1 - following) * weight) * picture
    return moved
