"""DEIS: exponential integration of the noise prediction. Zhang & Chen, arXiv 2204.13902."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import levels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ORDER = 3
POINTS = 10_000  # of the sums that stand for integrals
# The levels at the times FIRST_TIME and 1, which fix the scale of times.
LOWEST, HIGHEST, FIRST_TIME = 0.002, 80.0, 1e-3


def deis(flow: Flow, state: State) -> State:
    """x + the sum of c_j v_j over the newest velocities, at most 3: DEIS of the kind "tab".

    c_j is the integral, in the time of a variance-preserving process, of that process's kernel times the
    polynomial that is 1 at the time of v_j and 0 at the others'. The first step and that to 0 are Euler's.
    """
    sigma, following = levels(flow, state)
    velocity = flow.velocity(state.latents, sigma)
    velocities = [velocity, *state.history]
    if following <= 0 or len(velocities) == 1:
        x = state.latents + (following - sigma) * velocity
    else:
        first = state.step - len(state.history)
        x = state.latents
        for weight, each in zip(weights(flow.sigmas[first : state.step + 2]), velocities, strict=True):
            x = x + weight * each
    return state.then(x, *velocities[: ORDER - 1])


def weights(sigmas: Sequence[float]) -> list[float]:
    """c_j of the newest velocity first; `sigmas` are the levels of the velocities, oldest first, and s'."""
    import numpy as np

    *nodes, end = (_time(sigma) for sigma in sigmas)
    nodes.reverse()
    times = np.linspace(nodes[0], end, POINTS)
    kernel = _kernel(times)
    found = []
    for node in nodes:
        polynomial = np.ones_like(times)
        for other in nodes:
            if other != node:
                polynomial *= (times - other) / (node - other)
        found.append(float(np.sum(kernel * polynomial) * (end - nodes[0]) / POINTS))
    return found


def _scale() -> tuple[float, float]:
    """Slope and start of the process's noise rate, beta(t) = start + slope t."""
    low, high = math.log(1 + LOWEST**2), math.log(1 + HIGHEST**2)
    slope = 2 * (low / FIRST_TIME - high) / (FIRST_TIME - 1)
    return slope, high - slope / 2


def _time(sigma: float) -> float:
    """The time at which the process has this level."""
    slope, start = _scale()
    return (math.sqrt(start**2 + 2 * slope * math.log(1 + sigma**2)) - start) / slope


def _kernel(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """-(d ln A / dt) / (2 sqrt(A (1 - A))) with ln A = -t^2 slope / 2 - t start."""
    import numpy as np

    slope, start = _scale()
    kept = np.exp(-(times**2) * slope / 2 - times * start)
    kernel: npt.NDArray[np.float64] = 0.5 * (slope * times + start) / np.sqrt(kept * (1 - kept))
    return kernel
