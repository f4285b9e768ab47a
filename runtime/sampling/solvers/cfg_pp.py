"""CFG++ samplers: the noise's direction is that of U, the negative's D. Chung et al., arXiv 2406.08070.

All but the Euler ones work as for a variance-exploding process, in t = -ln s.
"""

from __future__ import annotations

import math
from typing import Literal

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import ancestral, levels
from run_graph.runtime.sampling.solvers.multistep import second_order_weights


def euler_cfg_pp(
    flow: Flow, state: State, *, version: Literal["regular", "alternative"] = "regular"
) -> State:
    """(1 - s') D + s' e with the noise e = (x - (1 - s) U) / s.

    ``alternative``: x + (s' - s) (x - 2 D + U) / s.
    """
    if version == "regular":
        return euler_ancestral_cfg_pp(flow, state, eta=0.0)
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    slope = (state.latents - denoised + flow.uncond_denoised - denoised) / sigma
    return state.then(state.latents + (following - sigma) * slope)


def euler_ancestral_cfg_pp(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0) -> State:
    """`euler_cfg_pp` to the lower part of an ancestral step in s / (1 - s), and noise of its upper part.

    The step to s' = 0 is to D.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    kept, kept_after = 1 - sigma, 1 - following
    noise = (state.latents - kept * flow.uncond_denoised) / sigma
    start = sigma / kept if kept else math.inf
    down, up = ancestral(start, following / kept_after, eta)
    x = kept_after * denoised + (kept_after * down) * noise
    if eta > 0 and s_noise > 0:
        x = x + (kept_after * s_noise * up) * flow.noise(state.step)
    return state.then(x)


def dpmpp_2m_cfg_pp(flow: Flow, state: State) -> State:
    """D + e^-h (x - U) + (1 - e^-h) (D - U_before) / 2r with h = t' - t, r = h_before / h.

    The last term is left out in the first step and in the one to s' = 0.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    negative = flow.uncond_denoised
    kept = following / sigma
    x = denoised + kept * (state.latents - negative)
    if state.history and following > 0:
        ratio = math.log(flow.sigmas[state.step - 1] / sigma) / math.log(sigma / following)
        x = x + ((1 - kept) / (2 * ratio)) * (denoised - state.history[0])
    return state.then(x, negative)


def dpmpp_2s_ancestral_cfg_pp(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0) -> State:
    """DPM-Solver++(2S) to the lower part of an ancestral step, and noise of its upper part.

    With h to the middle in t: e^-h (x + D - U) + (1 - e^-h) D; then the same from x with D, and U, of the
    middle in the second place. Where down = 0: D.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    down, up = ancestral(sigma, following, eta)
    if down == 0:
        x = denoised
    else:
        middle = math.sqrt(sigma * down)
        shifted = state.latents + (denoised - flow.uncond_denoised)
        kept = middle / sigma
        inner = flow.denoised(kept * shifted + (1 - kept) * denoised, middle)
        kept = down / sigma
        shifted = state.latents + (denoised - flow.uncond_denoised)
        x = kept * shifted + (1 - kept) * inner
    if following > 0 and up > 0:
        x = x + (s_noise * up) * flow.noise(state.step)
    return state.then(x)


def res_multistep_cfg_pp(flow: Flow, state: State, *, eta: float = 0.0, s_noise: float = 1.0) -> State:
    """`multistep.res_multistep` of x + D - U with U in the place of D.

    In the first step and where down = 0: D + (x - U) down / s.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    negative = flow.uncond_denoised
    down, up = ancestral(sigma, following, eta)
    if down == 0 or not state.history:
        x = denoised + (down / sigma) * (state.latents - negative)
    else:
        h, b1, b2 = second_order_weights(flow.sigmas, state.step, down, eta)
        shifted = state.latents + (denoised - negative)
        x = math.exp(-h) * shifted + h * (b1 * negative + b2 * state.history[0])
    if following > 0 and up > 0:
        x = x + (s_noise * up) * flow.noise(state.step)
    return state.then(x, negative)


def gradient_estimation_cfg_pp(flow: Flow, state: State, *, gamma: float = 2.0) -> State:
    """D + s' d + (gamma - 1) (s' - s) (d - d_before) with d = (x - U) / s. The step to s' = 0 is to D."""
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    slope = (state.latents - flow.uncond_denoised) / sigma
    x = denoised + following * slope
    if state.history:
        x = x + ((gamma - 1) * (following - sigma)) * (slope - state.history[0])
    return state.then(x, slope)
