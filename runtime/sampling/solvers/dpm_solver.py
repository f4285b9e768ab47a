"""DPM-Solver on grids of its own, evenly spaced in t = -ln s. Lu et al., arXiv 2206.00927.

Both solvers go from the first level to the last one above 0, and stop there: ComfyUI's ``dpm_fast`` and
``dpm_adaptive``, in k-diffusion's form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import ancestral

if TYPE_CHECKING:
    import mlx.core as mx

TOLERANCE = 1e-5  # in t, of the end
LARGEST_FACTOR = 1 + math.pi / 2  # by which a step's size may grow, never reached


def dpm_fast(flow: Flow, state: State) -> State:
    """As many evaluations as the levels have steps, in steps of order 3 and the rest."""
    orders = fast_orders(flow.sigmas)
    start, end = _range(flow.sigmas)
    t, following = (start + (end - start) * index / len(orders) for index in (state.step, state.step + 1))
    order = orders[state.step]
    if order == 1:
        x = _Step(flow, state.latents, t, following).first()
    elif order == 2:
        x = _Step(flow, state.latents, t, following).second(1 / 2)
    else:
        x = _Step(flow, state.latents, t, following).third(1 / 3, 2 / 3)
    return state.then(x)


def fast_orders(sigmas: Sequence[float]) -> list[int]:
    """The orders of `dpm_fast`'s steps, which add up to the number of evaluations."""
    evaluations = len(sigmas) - 1
    threes, rest = divmod(evaluations, 3)
    return [*[3] * threes, rest] if rest else [*[3] * (threes - 1), 2, 1]


def fast_steps(sigmas: Sequence[float]) -> int:
    """The number of `dpm_fast`'s steps."""
    return len(fast_orders(sigmas))


def dpm_adaptive(
    flow: Flow,
    state: State,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> State:
    """One attempt at a step of a size that a PID controller adapts: solutions of two orders are compared.

    The error is the root mean square, over the whole batch, of their difference over max(atol, rtol
    max(|x_low|, |x_low of the last accepted step|)). With e = 1 / (error + 1e-8) of this attempt and of the
    last two accepted ones, the size is multiplied by 1 + atan(f - 1), f = e^b1 e1^b2 e2^b3; the step is
    accepted if this is at least `accept_safety`. b1 = (p + i + d) / order, b2 = -(p + 2 d) / order, b3 = d /
    order.

    The state's history is x_low of the last accepted step; its numbers are t, the step's size, e1, e2 and how
    many steps were accepted.
    """
    start, end = _range(flow.sigmas)
    forward = end > start
    if eta and not forward:
        raise ValueError("dpm_adaptive adds noise (eta above 0) only where the noise levels fall")
    _require_an_end(h_init, rtol, atol, accept_safety)
    t, size, *errors, accepted = state.numbers or (start, abs(h_init) if forward else -abs(h_init), 0.0)
    following = min(end, t + size) if forward else max(end, t + size)
    reached, up = following, 0.0
    if eta:
        down, _ = ancestral(math.exp(-t), math.exp(-following), eta)
        reached = min(end, -math.log(down)) if down > 0 else end
        up = math.sqrt(max(math.exp(-2 * following) - math.exp(-2 * reached), 0.0))
    attempt = _Step(flow, state.latents, t, reached)
    low, high = attempt.first_and_second() if order == 2 else attempt.second_and_third()
    [before] = state.history or (state.latents,)
    inverse = 1 / (_error(low, high, before, rtol, atol) + 1e-8)
    one, two = errors or (inverse, inverse)
    scale = 1.5 if eta else order
    factor = inverse ** ((pcoeff + icoeff + dcoeff) / scale)
    factor *= one ** (-(pcoeff + 2 * dcoeff) / scale) * two ** (dcoeff / scale)
    factor = 1 + math.atan(factor - 1)
    if factor < accept_safety:
        return state.then(state.latents, before, numbers=(t, size * factor, one, two, accepted))
    if up:
        high = high + (up * s_noise) * flow.noise(int(accepted))
    return state.then(high, low, numbers=(following, size * factor, inverse, one, accepted + 1))


def _require_an_end(h_init: float, rtol: float, atol: float, accept_safety: float) -> None:
    """Refuse options with which no step would ever be accepted. Raises ValueError."""
    if not h_init > 0:
        raise ValueError("dpm_adaptive needs an h_init above 0; 0.05 is usual")
    if not (rtol > 0 or atol > 0):
        raise ValueError("dpm_adaptive needs an rtol or an atol above 0; 0.05 and 0.0078 are usual")
    if accept_safety >= LARGEST_FACTOR:
        raise ValueError(
            f"with an accept_safety of {accept_safety:g} dpm_adaptive never accepts a step; 0.81 is usual"
        )


def levels_passed(sigmas: Sequence[float], state: State) -> int:
    """How far `dpm_adaptive` is: the number of levels it has passed, and all of them at its end."""
    start, end = _range(sigmas)
    t = state.numbers[0] if state.numbers else start
    left = end - t if end > start else t - end
    if left <= TOLERANCE:
        return len(sigmas) - 1
    passed = [sigma for sigma in sigmas[1:] if sigma > 0 and (-math.log(sigma) - t) * (end - start) <= 0]
    return len(passed)


class _Step:
    """A step from t to a later time: solutions of several orders, which share their evaluations."""

    def __init__(self, flow: Flow, x: mx.array, start: float, end: float) -> None:
        self._flow = flow
        self._x = x
        self._start = start
        self._h = end - start
        self._known: dict[float, mx.array] = {}
        self._slope(0.0, lambda: x)

    def first(self) -> mx.array:
        return self._euler(1.0)

    def second(self, r: float) -> mx.array:
        inner = self._slope(r, lambda: self._euler(r))
        bend = self._level(1.0) / (2 * r) * math.expm1(self._h)
        return self._euler(1.0) - bend * (inner - self._known[0.0])

    def third(self, r1: float, r2: float) -> mx.array:
        first = self._slope(r1, lambda: self._euler(r1))
        at = self._level(r2) * (r2 / r1) * self._bend(r2)
        second = self._slope(r2, lambda: self._euler(r2) - at * (first - self._known[0.0]))
        return self._euler(1.0) - self._level(1.0) / r2 * self._bend(1.0) * (second - self._known[0.0])

    def first_and_second(self) -> tuple[mx.array, mx.array]:
        return self.first(), self.second(1 / 2)

    def second_and_third(self) -> tuple[mx.array, mx.array]:
        return self.second(1 / 3), self.third(1 / 3, 2 / 3)

    def _euler(self, part: float) -> mx.array:
        """x - s' (e^h - 1) v after a part of the step."""
        return self._x - self._level(part) * math.expm1(part * self._h) * self._known[0.0]

    def _bend(self, part: float) -> float:
        return math.expm1(part * self._h) / (part * self._h) - 1

    def _level(self, part: float) -> float:
        return math.exp(-(self._start + part * self._h))

    def _slope(self, part: float, place: Callable[[], mx.array]) -> mx.array:
        """The velocity after a part of the step, evaluated once."""
        if part not in self._known:
            self._known[part] = self._flow.velocity(place(), self._level(part))
        return self._known[part]


def _range(sigmas: Sequence[float]) -> tuple[float, float]:
    """t of the first level and of the last one above 0."""
    last = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return -math.log(sigmas[0]), -math.log(last)


def _error(low: mx.array, high: mx.array, before: mx.array, rtol: float, atol: float) -> float:
    import mlx.core as mx

    bound = mx.maximum(atol, rtol * mx.maximum(mx.abs(low), mx.abs(before)))
    mean: float = mx.mean(mx.square((low - high) / bound)).item()  # type: ignore[assignment]
    return math.sqrt(mean)
