"""Solvers of the stochastic differential equation in l(s) = ln((1 - s) / s): DPM-Solver++ with noise, SEEDS.

With h = l(s') - l(s) and g = h (1 + eta), all begin with (s' / s) e^(-eta h) x + (1 - s') (1 - e^-g) D. They
need levels below 1. A step to s' = 0 is to D.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import ancestral, level_at, levels, log_snr, phi_2

if TYPE_CHECKING:
    import mlx.core as mx


def dpmpp_sde(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0, r: float = 0.5) -> State:
    """DPM-Solver++(SDE): an ancestral step in e^-l to l(s) + r h, and one to l(s') with (1 - f) D + f D1.

    D1 is the D of the first one's end, f = 1 / 2r. Lu et al., arXiv 2211.01095, in k-diffusion's form.
    """
    if not r > 0:
        raise ValueError("dpmpp_sde needs an r above 0, where its second evaluation is; 0.5 is usual")
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    start = log_snr(sigma)
    middle = level_at(start + r * (log_snr(following) - start))
    halfway = _ancestral_step(flow, state.latents, denoised, sigma, middle, eta, s_noise)
    factor = 1 / (2 * r)
    estimate = (1 - factor) * denoised + factor * flow.denoised(halfway, middle)
    return state.then(_ancestral_step(flow, state.latents, estimate, sigma, following, eta, s_noise))


def dpmpp_2m_sde(
    flow: Flow,
    state: State,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["midpoint", "heun"] = "midpoint",
) -> State:
    """DPM-Solver++(2M SDE): the first step's formula plus a multiple of (D - D_before) / r, r = h_before / h.

    The multiple is (1 - s') (1 - e^-g) / 2 for ``midpoint``, (1 - s') (1 - (1 - e^-g) / g) for ``heun``. Lu
    et al., arXiv 2211.01095, in k-diffusion's form.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised, denoised)
    h = log_snr(following) - log_snr(sigma)
    growth = -math.expm1(-h * (1 + eta))
    x = _decayed(state.latents, sigma, following, eta) + ((1 - following) * growth) * denoised
    if state.history:
        ratio = (log_snr(sigma) - log_snr(flow.sigmas[state.step - 1])) / h
        factor = growth / 2 if solver_type == "midpoint" else 1 - growth / (h * (1 + eta))
        x = x + ((1 - following) * factor / ratio) * (denoised - state.history[0])
    return state.then(_with_path_noise(flow, x, sigma, following, eta, s_noise), denoised)


def dpmpp_3m_sde(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0) -> State:
    """DPM-Solver++(3M SDE): `dpmpp_2m_sde` with two older D, k-diffusion's ``sample_dpmpp_3m_sde``.

    With r0 and r1 the last two sizes over h, a = (D - D1) / r0, b = (D1 - D2) / r1, c = (a - b) / (r0 + r1),
    p2 = 1 - (1 - e^-g) / g, p3 = p2 / g - 1/2: adds (1 - s') (p2 (a + c r0) - p3 c); with one older D, p2 a.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    older = state.history
    if following == 0:
        return state.then(denoised, denoised, *older[:1])
    h = log_snr(following) - log_snr(sigma)
    g = h * (1 + eta)
    x = _decayed(state.latents, sigma, following, eta) - ((1 - following) * math.expm1(-g)) * denoised
    if older:
        points = [log_snr(each) for each in flow.sigmas[max(0, state.step - 2) : state.step + 1]]
        ratios = [(after - before) / h for before, after in pairwise(points)][::-1]
        p2 = math.expm1(-g) / g + 1
        slope = (denoised - older[0]) / ratios[0]
        bend = None
        if len(older) > 1:
            bend = (slope - (older[0] - older[1]) / ratios[1]) / (ratios[0] + ratios[1])
            slope = slope + ratios[0] * bend
        x = x + ((1 - following) * p2) * slope
        if bend is not None:
            x = x - ((1 - following) * (p2 / g - 0.5)) * bend
    return state.then(_with_path_noise(flow, x, sigma, following, eta, s_noise), denoised, *older[:1])


def seeds_2(
    flow: Flow,
    state: State,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
    solver_type: Literal["phi_1", "phi_2"] = "phi_1",
) -> State:
    """SEEDS-2, an exponential SDE solver with one stage at l(s) + r h. Gonzalez et al., arXiv 2305.14267.

    ``phi_1`` ends with (1 - f) D + f D1, f = 1 / 2r, in the place of D; ``phi_2`` weighs D1 by phi_2(-g) / r.
    The stage's noise is carried on to the end. r = 1 with ``phi_2`` is exponential Heun.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    noise = _CarriedNoise(flow, 2 * state.step, eta, s_noise)
    start, end = log_snr(sigma), log_snr(following)
    g = (end - start) * (1 + eta)
    middle = level_at(start + r * (end - start))
    halfway = _decayed(state.latents, sigma, middle, eta) - ((1 - middle) * math.expm1(-r * g)) * denoised
    inner = flow.denoised(noise.added_to(halfway, sigma, middle), middle)
    of_inner = math.expm1(-g) / (2 * r) if solver_type == "phi_1" else phi_2(-g) / r
    change = (math.expm1(-g) - of_inner) * denoised + of_inner * inner
    x = _decayed(state.latents, sigma, following, eta) - (1 - following) * change
    return state.then(noise.added_to(x, middle, following))


def seeds_3(
    flow: Flow,
    state: State,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> State:
    """SEEDS-3: `seeds_2` with stages at l(s) + r_1 h and l(s) + r_2 h; the last one ends the step."""
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    noise = _CarriedNoise(flow, 3 * state.step, eta, s_noise)
    start, end = log_snr(sigma), log_snr(following)
    g = (end - start) * (1 + eta)
    first, second = (level_at(start + r * (end - start)) for r in (r_1, r_2))

    x = _decayed(state.latents, sigma, first, eta) - ((1 - first) * math.expm1(-r_1 * g)) * denoised
    inner = flow.denoised(noise.added_to(x, sigma, first), first)

    of_inner = r_2 / r_1 * phi_2(-r_2 * g)
    change = (math.expm1(-r_2 * g) - of_inner) * denoised + of_inner * inner
    x = _decayed(state.latents, sigma, second, eta) - (1 - second) * change
    inner = flow.denoised(noise.added_to(x, first, second), second)

    of_inner = phi_2(-g) / r_2
    change = (math.expm1(-g) - of_inner) * denoised + of_inner * inner
    x = _decayed(state.latents, sigma, following, eta) - (1 - following) * change
    return state.then(noise.added_to(x, second, following))


class _CarriedNoise:
    """The noise of a step with stages: what one stage got lives on, decayed, in the next."""

    def __init__(self, flow: Flow, first_draw: int, eta: float, s_noise: float) -> None:
        self._flow = flow
        self._draw = first_draw
        self._eta = eta
        self._s_noise = s_noise
        self._noise: mx.array | None = None  # of unit level

    def added_to(self, x: mx.array, start: float, end: float) -> mx.array:
        """x of the level `end` with the noise of the part from `start` to it."""
        if not (self._eta > 0 and self._s_noise > 0):
            return x
        decay = (log_snr(end) - log_snr(start)) * self._eta
        fresh = math.sqrt(max(-math.expm1(-2 * decay), 0.0)) * self._flow.noise(self._draw)
        self._draw += 1
        self._noise = fresh if self._noise is None else math.exp(-decay) * self._noise + fresh
        return x + (end * self._s_noise) * self._noise


def _decayed(x: mx.array, sigma: float, following: float, eta: float) -> mx.array:
    """(s' / s) e^(-eta h) x."""
    return (following / sigma * math.exp(-eta * (log_snr(following) - log_snr(sigma)))) * x


def _with_path_noise(
    flow: Flow, x: mx.array, sigma: float, following: float, eta: float, s_noise: float
) -> mx.array:
    """x plus the path's noise of the deviation s' sqrt(1 - e^(-2 eta h)).

    Raises ValueError where the level rises: no such noise exists, and ComfyUI's is NaN.
    """
    if not (eta > 0 and s_noise > 0):
        return x
    decay = eta * (log_snr(following) - log_snr(sigma))
    if decay < 0:
        raise ValueError(
            f"the noise level rises from {sigma:.9g} to {following:.9g}, and this sampler adds noise only "
            "where it falls; use fewer steps, another schedule or sampler, or an eta of 0"
        )
    return x + (following * math.sqrt(-math.expm1(-2 * decay)) * s_noise) * flow.brownian(sigma, following)


def _ancestral_step(
    flow: Flow, x: mx.array, denoised: mx.array, sigma: float, level: float, eta: float, s_noise: float
) -> mx.array:
    """From s to a level, split into down and up on the scale of e^-l, where noise adds up."""
    down, up = ancestral(math.exp(-log_snr(sigma)), math.exp(-log_snr(level)), eta)
    kept = down * math.exp(log_snr(sigma))
    x = ((1 - level) / (1 - sigma) * kept) * x + ((1 - level) * (1 - kept)) * denoised
    if not (eta > 0 and s_noise > 0):
        return x
    return x + ((1 - level) * s_noise * up) * flow.brownian(sigma, level)
