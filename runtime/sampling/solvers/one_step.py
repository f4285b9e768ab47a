"""Solvers of the flow's differential equation that remember nothing."""

from __future__ import annotations

import math
from itertools import pairwise

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import levels


def euler(flow: Flow, state: State) -> State:
    """Euler's method: x + (s' - s) v."""
    sigma, following = levels(flow, state)
    return state.then(state.latents + (following - sigma) * flow.velocity(state.latents, sigma))


def heun(flow: Flow, state: State) -> State:
    """Heun's method: an Euler step with the mean of the velocities at its start and its end.

    The step to s' = 0 is Euler's. Algorithm 1 of Karras et al., arXiv 2206.00364, without churn.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    reached = state.latents + (following - sigma) * velocity
    if following == 0:
        return state.then(reached)
    mean = (velocity + flow.velocity(reached, following)) / 2
    return state.then(state.latents + (following - sigma) * mean)


def heunpp2(flow: Flow, state: State) -> State:
    """Heun's method with up to three velocities, weighted by their levels: Euler steps on to s' and s''.

    v (1 - w' - w'') + v' w' + v'' w'' with w' = s' / (3 s0), w'' = s'' / (3 s0), where s0 is the run's first
    level; with two velocities, v (1 - w') + v' w', w' = s' / (2 s0), if s'' is the run's last level; Euler's
    step if s' is. github.com/Carzit/sd-webui-sampler-heunpp.
    """
    after = flow.sigmas[state.step :]
    points = min(3, len(after) - 1)
    x, velocities = state.latents, []
    for sigma, following in pairwise(after[: points + 1]):
        velocities.append(flow.velocity(x, sigma))
        x = x + (following - sigma) * velocities[-1]
    weights = [sigma / (points * flow.sigmas[0]) for sigma in after[1:points]]
    mean = (1 - sum(weights)) * velocities[0]
    for weight, velocity in zip(weights, velocities[1:], strict=True):
        mean = mean + weight * velocity
    return state.then(state.latents + (after[1] - after[0]) * mean)


def dpm_2(flow: Flow, state: State) -> State:
    """DPM-Solver-2: x + (s' - s) v at the middle, which an Euler step to sqrt(s s') reaches.

    The step to s' = 0 is Euler's. Algorithm 2 of Karras et al., arXiv 2206.00364, in k-diffusion's form.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    if following == 0:
        return state.then(state.latents + (following - sigma) * velocity)
    middle = math.sqrt(sigma * following)
    reached = state.latents + (middle - sigma) * velocity
    return state.then(state.latents + (following - sigma) * flow.velocity(reached, middle))
