"""Samplers: how one step leads from a noise level to the next.

A sampler is one function of a :class:`Flow` and a :class:`State`, and one row of ``SAMPLERS``. Between steps
it keeps only what the state's history holds, so that a run can resume after any step with the same bits.

FLUX.1 is a rectified flow: at noise level sigma the latents are ``(1 - sigma) * picture + sigma * noise``,
and the model predicts the velocity ``noise - picture``. In the formulas below x are latents, s is the noise
level of the step, s' the next one, v the velocity, and D = x - s v the denoised picture that v points to.

Nothing here imports MLX, so that the names are known before any model code is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import mlx.core as mx


class Flow(Protocol):
    """What a sampler may ask: the noise levels, the model, and seeded noise.

    Attributes
    ----------
    sigmas : sequence of float
        Noise levels, decreasing; step i leads from ``sigmas[i]`` to ``sigmas[i + 1]``. The last is 0.
    """

    sigmas: Sequence[float]

    def velocity(self, latents: mx.array, sigma: float) -> mx.array:
        """One evaluation of the model: the velocity at ``sigma``, shape and dtype of ``latents``."""
        ...

    def noise(self, draw: int) -> mx.array:
        """Standard normal noise in the shape of the latents: the same for a draw's number, always."""
        ...


@dataclass(frozen=True)
class State:
    """A place in the loop: all that is needed to go on from there to the same bits.

    Attributes
    ----------
    step : int
        Number of finished steps.
    latents : mx.array
        Packed latents after them, (B, tokens, 64) float32.
    history : tuple of mx.array
        What the sampler remembers of earlier steps, each in the shape of the latents.
    """

    step: int
    latents: mx.array
    history: tuple[mx.array, ...] = ()

    def then(self, latents: mx.array, *history: mx.array) -> State:
        """The state after one more step."""
        return State(self.step + 1, latents, history)


Advance = Callable[[Flow, State], State]


@dataclass(frozen=True)
class Sampler:
    """A row of ``SAMPLERS``.

    Attributes
    ----------
    advance : callable
        Takes one step.
    evaluations : int
        Evaluations of the model in a step; the last step, which leads to 0, may take fewer.
    is_deterministic : bool
        Whether the initial noise alone decides the picture: False for samplers that add noise.
    """

    advance: Advance
    evaluations: int = 1
    is_deterministic: bool = True

    def summary(self) -> str:
        """What a user should know before choosing it."""
        cost = "1 evaluation" if self.evaluations == 1 else f"{self.evaluations} evaluations"
        return f"{cost} a step" if self.is_deterministic else f"{cost} a step, adds noise"


def euler(flow: Flow, state: State) -> State:
    """Euler's method: x + (s' - s) v."""
    sigma, following = _levels(flow, state)
    return state.then(state.latents + (following - sigma) * flow.velocity(state.latents, sigma))


def heun(flow: Flow, state: State) -> State:
    """Heun's method: an Euler step with the mean of the velocities at its start and its end.

    The step to s' = 0 is Euler's. Algorithm 1 of Karras et al., arXiv 2206.00364, without churn.
    """
    sigma, following = _levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    reached = state.latents + (following - sigma) * velocity
    if following == 0:
        return state.then(reached)
    mean = (velocity + flow.velocity(reached, following)) / 2
    return state.then(state.latents + (following - sigma) * mean)


def dpmpp_2m(flow: Flow, state: State) -> State:
    """DPM-Solver++(2M), a multistep method: x (s' / s) + (1 - s' / s) D*.

    D* = (1 + 1 / 2r) D - (1 / 2r) D_before with r = ln(s_before / s) / ln(s / s'); in the first step and in
    the one to s' = 0, D* = D. Lu et al., arXiv 2211.01095, in the form of k-diffusion's ``sample_dpmpp_2m``.
    """
    sigma, following = _levels(flow, state)
    denoised = _denoised(flow, state, sigma)
    estimate = denoised
    if state.history and following > 0:
        [before] = state.history
        ratio = math.log(flow.sigmas[state.step - 1] / sigma) / math.log(sigma / following)
        estimate = (1 + 1 / (2 * ratio)) * denoised - (1 / (2 * ratio)) * before
    kept = following / sigma
    return state.then(kept * state.latents + (1 - kept) * estimate, denoised)


def euler_ancestral(flow: Flow, state: State) -> State:
    """Ancestral Euler for rectified flows: a step to below s', and noise back up to s'.

    With t = s'^2 / s: y = (t / s) x + (1 - t / s) D, then ((1 - s') / (1 - t)) y + noise * sqrt(s'^2 -
    t^2 (1 - s')^2 / (1 - t)^2). The flow form of ComfyUI's ``euler_ancestral`` at eta 1.
    """
    sigma, following = _levels(flow, state)
    denoised = _denoised(flow, state, sigma)
    if following == 0:
        return state.then(denoised)
    target = following**2 / sigma
    reached = (target / sigma) * state.latents + (1 - target / sigma) * denoised
    kept = (1 - following) / (1 - target)
    added = math.sqrt(max(following**2 - (target * kept) ** 2, 0.0))
    return state.then(kept * reached + added * flow.noise(state.step))


SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(euler),
    "heun": Sampler(heun, evaluations=2),
    "dpmpp_2m": Sampler(dpmpp_2m),
    "euler_ancestral": Sampler(euler_ancestral, is_deterministic=False),
}
"""All samplers by the names that ComfyUI and k-diffusion give them."""

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]


def _levels(flow: Flow, state: State) -> tuple[float, float]:
    return flow.sigmas[state.step], flow.sigmas[state.step + 1]


def _denoised(flow: Flow, state: State, sigma: float) -> mx.array:
    return state.latents - sigma * flow.velocity(state.latents, sigma)
