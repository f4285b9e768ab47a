"""Solvers that remember the velocities or the denoised pictures of earlier steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import ancestral, levels

if TYPE_CHECKING:
    import mlx.core as mx

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""Weights of the newest and the older velocities, by order."""


def lms(flow: Flow, state: State, *, order: int = 4) -> State:
    """Linear multistep: x + the integral from s to s' of a polynomial through the newest `order` velocities.

    The step to s' = 0 is to D. k-diffusion's ``sample_lms``.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    velocities = [velocity, *state.history][:order]
    if following == 0:
        return state.then(state.latents - sigma * velocity, *velocities[: order - 1])
    nodes = flow.sigmas[state.step :: -1][: len(velocities)]
    change = _weighted(lagrange_integrals(nodes, sigma, following), velocities)
    return state.then(state.latents + change, *velocities[: order - 1])


def lagrange_integrals(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """The integral from start to end of each polynomial that is 1 at one node and 0 at the others.

    By Gauss and Legendre's quadrature, which is exact for them.
    """
    import numpy as np

    points, weights = np.polynomial.legendre.leggauss((len(nodes) + 1) // 2)
    places = (start + end) / 2 + (end - start) / 2 * points
    integrals = []
    for node in nodes:
        others = [other for other in nodes if other != node]
        values = np.prod([(places - other) / (node - other) for other in others], axis=0)
        integrals.append(float(np.sum(weights * values) * (end - start) / 2))
    return integrals


def ipndm(flow: Flow, state: State) -> State:
    """Adams and Bashforth's method of up to fourth order with constant weights, whatever the steps: iPNDM.

    The step to s' = 0 is to D. Zhang & Chen, arXiv 2204.13902.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    velocities = [velocity, *state.history]
    if following == 0:
        return state.then(state.latents - sigma * velocity, *velocities[:3])
    mean = _weighted(ADAMS_BASHFORTH[len(velocities) - 1], velocities)
    return state.then(state.latents + (following - sigma) * mean, *velocities[:3])


def ipndm_v(flow: Flow, state: State) -> State:
    """`ipndm` with weights that follow the steps' sizes, as diff-sampler and ComfyUI compute them.

    The step to s' = 0 is to D.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    velocities = [velocity, *state.history]
    if following == 0:
        return state.then(state.latents - sigma * velocity, *velocities[:3])
    earlier = flow.sigmas[state.step - len(state.history) : state.step + 2]
    sizes = [after - before for before, after in pairwise(earlier)][::-1]
    mean = _weighted(variable_weights(sizes), velocities)
    return state.then(state.latents + (following - sigma) * mean, *velocities[:3])


def variable_weights(sizes: Sequence[float]) -> tuple[float, ...]:
    """Adams and Bashforth's weights for steps of these sizes, the one that comes next first, then the older.

    The weights of order 3 and 4 are those of the code that is used, not the textbook's.
    """
    h, *older = sizes
    if not older:
        return (1.0,)
    h1 = older[0]
    linear = h / (2 * h1)
    if len(older) == 1:
        return (1 + linear, -linear)
    h2 = older[1]
    q = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
    weights = [1 + linear + q, -linear - (1 + h1 / h2) * q, q * h1 / h2]
    if len(older) == 2:
        return tuple(weights)
    h3 = older[2]
    r = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
    r *= h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    e, f = h1 / h2, h1 * (h1 + h2) / (h2 * (h2 + h3))
    changes = (r, -(1 + e + f) * r, (e + f * (1 + h2 / h3)) * r, -f * e * r)
    return tuple(weight + change for weight, change in zip([*weights, 0.0], changes, strict=True))


def gradient_estimation(flow: Flow, state: State, *, gamma: float = 2.0) -> State:
    """Euler's step, corrected by the velocity's change: x + (s' - s) (v + (gamma - 1) (v - v_before)).

    The step to s' = 0 is to D. Permenter & Yuan, arXiv 2306.04848.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    if following == 0:
        return state.then(state.latents - sigma * velocity, velocity)
    step = velocity
    if state.history:
        [before] = state.history
        step = velocity + (gamma - 1) * (velocity - before)
    return state.then(state.latents + (following - sigma) * step, velocity)


def dpmpp_2m(flow: Flow, state: State) -> State:
    """DPM-Solver++(2M), a multistep method: x (s' / s) + (1 - s' / s) D*.

    D* = (1 + 1 / 2r) D - (1 / 2r) D_before with r = ln(s_before / s) / ln(s / s'); in the first step and in
    the one to s' = 0, D* = D. Lu et al., arXiv 2211.01095, in the form of k-diffusion's ``sample_dpmpp_2m``.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    estimate = denoised
    if state.history and following > 0:
        [before] = state.history
        ratio = math.log(flow.sigmas[state.step - 1] / sigma) / math.log(sigma / following)
        estimate = (1 + 1 / (2 * ratio)) * denoised - (1 / (2 * ratio)) * before
    kept = following / sigma
    return state.then(kept * state.latents + (1 - kept) * estimate, denoised)


def res_multistep(flow: Flow, state: State, *, eta: float = 0.0, s_noise: float = 1.0) -> State:
    """An exponential multistep solver of second order in t = -ln s, to the lower part of an ancestral step.

    With h = t_down - t and c = (t_before - t) / h: e^-h x + h (b1 D + b2 D_before), b2 = phi2(-h) / c, b1 =
    phi1(-h) - b2; then noise of the step's upper part. Euler's step in the first one and where down = 0.
    Zhang et al., arXiv 2308.02157. With an eta above 0 c is measured from the lower end of the step before.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    down, up = ancestral(sigma, following, eta)
    if down == 0 or not state.history:
        kept = down / sigma
        x = kept * state.latents + (1 - kept) * denoised
    else:
        h, b1, b2 = second_order_weights(flow.sigmas, state.step, down, eta)
        x = math.exp(-h) * state.latents + h * (b1 * denoised + b2 * state.history[0])
    if following > 0 and up > 0:
        x = x + (s_noise * up) * flow.noise(state.step)
    return state.then(x, denoised)


def second_order_weights(
    sigmas: Sequence[float], step: int, down: float, eta: float
) -> tuple[float, float, float]:
    """h, b1 and b2 of `res_multistep` in a step that is not the first."""
    reached, _ = ancestral(sigmas[step - 1], sigmas[step], eta)
    h = math.log(sigmas[step] / down)
    c = math.log(reached / sigmas[step - 1]) / h
    phi1 = math.expm1(-h) / -h
    b2 = (phi1 - 1) / -h / c
    return h, phi1 - b2, b2


def _weighted(weights: Sequence[float], values: Sequence[mx.array]) -> mx.array:
    """The sum of values, each times its weight."""
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total
