"""UniPC: a multistep method with predictor and corrector. Zhao et al., arXiv 2302.04867."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from run_graph.runtime.sampling.flow import Flow, State

if TYPE_CHECKING:
    import mlx.core as mx

ORDER = 3

Scale = Callable[[float], float]


def uni_pc(flow: Flow, state: State) -> State:
    """UniPC with B(g) = g, predicting D, in the arithmetic of a variance-preserving process.

    ComfyUI takes the noise levels for those of such a process. Divided by its alpha, latents need only the
    ratios of levels. With g = ln(s' / s), predictor and corrector are (s' / s) x - (e^g - 1) D - B times the
    sum of w_k (D_k - D) / r_k over older D, r_k = ln(s_k / s) / g; the corrector's sum also has the D at the
    point that was predicted, with r = 1. The weights solve a small linear system; a single one is 1/2. Each
    step evaluates once, at the point that the step before predicted, and corrects that step; the last point
    is not corrected. Of a run of one step ComfyUI makes none: only the closing change of scale is left.

    The state's latents are the predicted ones, its history the corrected ones of the step before and the
    newest D.
    """
    return _advance(flow, state, lambda g: g)


def uni_pc_bh2(flow: Flow, state: State) -> State:
    """`uni_pc` with B(g) = e^g - 1."""
    return _advance(flow, state, math.expm1)


def _advance(flow: Flow, state: State, scale: Scale) -> State:
    steps, step, x = len(flow.sigmas) - 1, state.step, state.latents
    denoised = flow.denoised(x, flow.sigmas[step])
    if steps == 1:
        first, last = flow.sigmas
        return state.then(x * math.sqrt((1 + last**2) / (1 + first**2)))
    pictures = [denoised]
    if state.history:
        before, *older = state.history
        logs = _logs(flow.sigmas, step, _order(step, steps))
        x = _moved(before, logs, older, denoised, scale)
        pictures += older
    logs = _logs(flow.sigmas, step + 1, _order(step + 1, steps))
    return state.then(_moved(x, logs, pictures, None, scale), x, *pictures[:ORDER])


def _order(target: int, steps: int) -> int:
    """The order of the step that leads to level `target`: rising at the start, falling at the end."""
    order = min(ORDER, steps - 1)
    return target if target < order else min(order, steps + 1 - target)


def _logs(sigmas: Sequence[float], target: int, order: int) -> list[float]:
    """ln of the level `target` and of the `order` levels before it, newest first."""
    return [math.log(sigma) for sigma in sigmas[target - order : target + 1]][::-1]


def _moved(
    x: mx.array, logs: Sequence[float], pictures: Sequence[mx.array], predicted: mx.array | None, scale: Scale
) -> mx.array:
    """x moved to the first level of `logs` from the second, where the first of `pictures` is its D.

    `predicted` is the D at the point reached before, which is then corrected.
    """
    target, start, *older = logs
    g = target - start
    newest, *others = pictures
    ratios = [(log - start) / g for log in older]
    slopes = [(other - newest) / ratio for other, ratio in zip(others, ratios, strict=False)]
    if predicted is not None:
        ratios.append(1.0)
        slopes.append(predicted - newest)
    moved = math.exp(g) * x - math.expm1(g) * newest
    for weight, slope in zip(weights(g, ratios, scale), slopes, strict=True):
        moved = moved - (scale(g) * weight) * slope
    return moved


def weights(g: float, ratios: Sequence[float], scale: Scale) -> list[float]:
    """w: the sum of w_k r_k^(i - 1) is i! phi_(i + 1)(g) / B for i from 1 to their number; 1/2 if it is one.

    phi_1(g) = (e^g - 1) / g, phi_(i + 1) = (phi_i - 1 / i!) / g; here times g.
    """
    import numpy as np

    count = len(ratios)
    if count < 2:
        return [0.5] * count
    wanted, phi = [], math.expm1(g) / g - 1
    for power in range(1, count + 1):
        wanted.append(phi * math.factorial(power) / scale(g))
        phi = phi / g - 1 / math.factorial(power + 1)
    solved = np.linalg.solve(np.vander(ratios, increasing=True).T, wanted)
    return [float(weight) for weight in solved]
