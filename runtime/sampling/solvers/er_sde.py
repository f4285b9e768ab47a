"""ER-SDE: solvers of the extended reverse-time SDE."""

from __future__ import annotations

import math
from typing import Literal

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.solvers.arithmetic import levels

POINTS = 200  # of the sums that stand for integrals


def er_sde(
    flow: Flow,
    state: State,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"] = "ER-SDE",
    max_stage: int = 3,
) -> State:
    """Solve in v = s / (1 - s) with up to `max_stage` denoised pictures. Cui et al., arXiv 2309.06169.

    With a noise scale F and r = F(v') / F(v): x r (1 - s') / (1 - s) + (1 - s') (1 - r) D; from the second
    step on plus (1 - s') (v' - v + S F(v')) Dd, from the third on plus (1 - s') ((v' - v)^2 / 2 + Su F(v'))
    Du. S and Su are sums of 1 / F and (p - v) / F over 200 points p from v' up to v, times their distance; Dd
    and Du are divided differences of D. The noise is (1 - s') sqrt(v'^2 - v^2 r^2) n. F(v) is v (e^(v^0.3) +
    10); for the reverse-time SDE v^(1 + eta); for the ODE, which has no noise, v. It needs levels below 1.
    The step to s' = 0 is to D.
    """
    sigma, following = levels(flow, state)
    denoised = flow.denoised(state.latents, sigma)
    if following == 0:
        return state.then(denoised)
    deterministic = solver_type == "ODE" or (solver_type == "Reverse-time SDE" and eta == 0)
    power = None if solver_type == "ER-SDE" else 1.0 if deterministic else 1 + eta

    def scale(v: float) -> float:
        return v * (math.exp(v**0.3) + 10) if power is None else v**power

    now, then = (level / (1 - level) for level in (sigma, following))
    ratio, kept = scale(then) / scale(now), 1 - following
    x = (ratio * kept / (1 - sigma)) * state.latents + (kept * (1 - ratio)) * denoised
    history = [denoised]
    if state.history and max_stage > 1:
        step = then - now
        places = [then - index * step / POINTS for index in range(POINTS)]
        area = sum(1 / scale(place) for place in places) * -step / POINTS
        before = flow.sigmas[state.step - 1]
        slope = (denoised - state.history[0]) / (now - before / (1 - before))
        history.append(slope)
        x = x + (kept * (step + area * scale(then))) * slope
        if len(state.history) > 1 and max_stage > 2:
            moment = sum((place - now) / scale(place) for place in places) * -step / POINTS
            before = flow.sigmas[state.step - 2]
            bend = (slope - state.history[1]) / ((now - before / (1 - before)) / 2)
            x = x + (kept * (step**2 / 2 + moment * scale(then))) * bend
    if s_noise > 0 and not deterministic:
        added = math.sqrt(max(then**2 - (now * ratio) ** 2, 0.0))
        x = x + (kept * s_noise * added) * flow.noise(state.step)
    return state.then(x, *history)
