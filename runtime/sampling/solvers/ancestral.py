"""Solvers that step below s' and add noise back up to it, and two that renoise what they denoised.

Those for rectified flows step to t = s' (1 + (s' / s - 1) eta), multiply by k = (1 - s') / (1 - t) and add
noise of the variance s'^2 - t^2 k^2: k-diffusion's ancestral samplers as ComfyUI adapted them to flows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import deviation, level_at, levels, log_snr, no_noise_fits

if TYPE_CHECKING:
    import mlx.core as mx


def euler_ancestral(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0) -> State:
    """Ancestral Euler: (t / s) x + (1 - t / s) D, and noise. The step to s' = 0 is to D."""
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    target = _target(sigma, following, eta)
    reached = (target / sigma) * state.latents + (1 - target / sigma) * denoised
    return state.then(_renoised(flow, state, reached, target, eta, s_noise))


def dpm_2_ancestral(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0) -> State:
    """`one_step.dpm_2` to t, and noise. The step to s' = 0 is Euler's."""
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    if following == 0:
        return state.then(state.latents + (following - sigma) * velocity)
    target = _positive_target(sigma, following, eta)
    middle = math.sqrt(sigma * target)
    halfway = state.latents + (middle - sigma) * velocity
    reached = state.latents + (target - sigma) * flow.velocity(halfway, middle)
    return state.then(_renoised(flow, state, reached, target, eta, s_noise))


def dpmpp_2s_ancestral(flow: Flow, state: State, *, eta: float = 1.0, s_noise: float = 1.0) -> State:
    """DPM-Solver++(2S) to t, and noise: (t / s) x + (1 - t / s) D at the middle of s and t.

    The middle is that of l(s) = ln((1 - s) / s), from s = 1 on 0.9999; x gets there by the same formula. The
    step to s' = 0 is to D. Lu et al., arXiv 2211.01095.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    target = _positive_target(sigma, following, eta)
    middle = 0.9999 if sigma == 1 else level_at((log_snr(sigma) + log_snr(target)) / 2)
    halfway = (middle / sigma) * state.latents + (1 - middle / sigma) * denoised
    denoised = flow.denoised(halfway, middle)
    reached = (target / sigma) * state.latents + (1 - target / sigma) * denoised
    return state.then(_renoised(flow, state, reached, target, eta, s_noise))


def lcm(
    flow: Flow,
    state: State,
    *,
    s_noise: float = 1.0,
    s_noise_end: float | None = None,
    noise_clip_std: float = 0.0,
) -> State:
    """Consistency sampling: (1 - s') D + s' n.

    The noise is scaled by `s_noise`, which moves evenly to `s_noise_end` in the last step (None: stays), and
    before that clipped at `noise_clip_std` of its standard deviations (0: not at all). Luo et al., arXiv
    2310.04378.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    noise = flow.noise(state.step)
    if noise_clip_std > 0:
        noise = _clipped(noise, noise_clip_std)
    steps = len(flow.sigmas) - 1
    end = s_noise if s_noise_end is None else s_noise_end
    factor = s_noise + (end - s_noise) * (state.step / (steps - 1) if steps > 1 else 0.0)
    return state.then((1 - following) * denoised + (following * factor) * noise)


def ddpm(flow: Flow, state: State) -> State:
    """The posterior of the variance-exploding process, on x / sqrt(1 + s^2): ComfyUI's ``ddpm``.

    Not adapted to flows. With a = 1 / (1 + s^2), a' = 1 / (1 + s'^2), q = a / a', y = x / sqrt(1 + s^2): (y -
    (1 - q) v / sqrt(1 - a)) / sqrt(q) + n sqrt((1 - q) (1 - a') / (1 - a)), times sqrt(1 + s'^2). Ho et al.,
    arXiv 2006.11239.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    kept, kept_after = 1 / (1 + sigma**2), 1 / (1 + following**2)
    ratio = kept / kept_after
    y = state.latents * math.sqrt(kept)
    y = math.sqrt(1 / ratio) * (y - ((1 - ratio) / math.sqrt(1 - kept)) * velocity)
    if following > 0:
        y = y + math.sqrt((1 - ratio) * (1 - kept_after) / (1 - kept)) * flow.noise(state.step)
    return state.then(y * math.sqrt(1 + following**2))


def _target(sigma: float, following: float, eta: float) -> float:
    """The level t below s' to which the step leads."""
    return following * (1 + (following / sigma - 1) * eta)


def _positive_target(sigma: float, following: float, eta: float) -> float:
    """`_target` for steps with a middle, which needs a level above 0; an eta too large gives none."""
    target = _target(sigma, following, eta)
    if target <= 0:
        raise no_noise_fits(eta)
    return target


def _renoised(
    flow: Flow, state: State, reached: mx.array, target: float, eta: float, s_noise: float
) -> mx.array:
    """What was reached at t, with noise up to s'."""
    if not eta > 0:
        return reached
    following = flow.sigmas[state.step + 1]
    kept = (1 - following) / (1 - target)
    added = deviation(following**2 - (target * kept) ** 2, eta)
    return kept * reached + (added * s_noise) * flow.noise(state.step)


def _clipped(noise: mx.array, deviations: float) -> mx.array:
    import mlx.core as mx

    bound = deviations * mx.std(noise, ddof=1)
    return mx.clip(noise, -bound, bound)
