"""All samplers, by name: how one step leads from a noise level to the next, and what a run of them needs.

A sampler is one function of a :class:`flow.Flow` and a :class:`flow.State`, in ``solvers/``, and one row of
``SAMPLERS``. Between steps it keeps only what the state holds, so that a run can resume after any step with
the same bits.

Nothing here imports MLX, so that the names are known before any model code is loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.schedules import NoiseScale
from run_graph.runtime.sampling.solvers import ancestral, cfg_pp, dpm_solver, multistep, one_step, sde
from run_graph.runtime.sampling.solvers.deis import deis
from run_graph.runtime.sampling.solvers.er_sde import er_sde
from run_graph.runtime.sampling.solvers.sa_solver import sa_solver, sa_solver_pece
from run_graph.runtime.sampling.solvers.uni_pc import uni_pc, uni_pc_bh2

if TYPE_CHECKING:
    import mlx.core as mx

Advance = Callable[..., State]
Levels = Callable[[Sequence[float], NoiseScale], Sequence[float]]
Steps = Callable[[Sequence[float]], int]
Done = Callable[[Sequence[float], State], int]


def as_given(sigmas: Sequence[float], scale: NoiseScale) -> Sequence[float]:
    """The levels that were asked for."""
    return sigmas


def below_one(sigmas: Sequence[float], scale: NoiseScale) -> Sequence[float]:
    """With the level of time 0.9999 in the place of a first level of 1, where ln((1 - s) / s) has no value.

    It is rounded to float32, as ComfyUI's is: the logarithm feels it.

    Raises ValueError if another level is not below 1.
    """
    first, *others = sigmas
    if first >= 1:
        [first] = struct.unpack("f", struct.pack("f", scale.at(1 - 1e-4)))
    if max(first, *others) >= 1:
        raise ValueError(
            f"the noise levels go up to {max(first, *others):g}, and this sampler needs levels below 1; "
            "take them from the model's own schedules"
        )
    return [first, *others]


def apart(sigmas: Sequence[float], scale: NoiseScale) -> Sequence[float]:
    """`below_one`, for formulas that divide by the distance of two levels: ComfyUI's give NaN at none.

    Raises ValueError if two levels in a row are equal.
    """
    levels = below_one(sigmas, scale)
    for level, following in pairwise(levels):
        if level == following:
            raise ValueError(
                f"two noise levels in a row are {level:.9g}, and this sampler needs different ones (in the "
                "place of a first 1 it takes that of time 0.9999); use fewer steps or another schedule"
            )
    return levels


def above_zero(sigmas: Sequence[float], scale: NoiseScale) -> Sequence[float]:
    """With 0.001 in the place of a last level of 0."""
    return [*sigmas[:-1], sigmas[-1] or 0.001]


def one_a_level(sigmas: Sequence[float]) -> int:
    """A step for each pair of levels."""
    return len(sigmas) - 1


def finished_steps(sigmas: Sequence[float], state: State) -> int:
    return state.step


@dataclass(frozen=True)
class Sampler:
    """A row of ``SAMPLERS``.

    Attributes
    ----------
    advance : callable
        Takes one step: ``(flow, state, **options) -> state``.
    evaluations : int
        Evaluations of the model in a step; some steps may take fewer.
    noise : str
        Which noise it asks for besides the initial one: "none"; "fresh" (`Flow.noise`); "brownian"
        (`Flow.brownian`). With options that add none, such as an eta of 0, it does not ask.
    uses_negative : bool
        Whether it asks for `Flow.uncond_denoised`.
    levels : callable
        The noise levels that the steps visit, where they differ from those asked for. See `prepared`.
    steps : callable
        The number of steps for these levels.
    done : callable
        How many of them are finished in a state; all of them at the end.
    is_adaptive : bool
        Whether it decides after each step how far the next one goes: a picture then depends on what else is
        in its batch, and `State.step` counts attempts, not `steps`.
    drops_penultimate : bool
        Whether ComfyUI's KSampler leaves out the last level above 0 of a schedule with a step more.
    renews_inpainting_noise : bool
        Whether the noise under a mask is another than the initial one: the first of `Flow.noise`.
    """

    advance: Advance
    evaluations: int = 1
    noise: Literal["none", "fresh", "brownian"] = "none"
    uses_negative: bool = False
    levels: Levels = as_given
    steps: Steps = one_a_level
    done: Done = finished_steps
    is_adaptive: bool = False
    drops_penultimate: bool = False
    renews_inpainting_noise: bool = False

    @property
    def is_deterministic(self) -> bool:
        """Whether the initial noise alone decides the picture."""
        return self.noise == "none"

    @property
    def is_plain(self) -> bool:
        """Whether a model and numbered noise are all it needs, and each picture of a batch is its own."""
        return not (self.uses_negative or self.is_adaptive or self.noise == "brownian")

    def summary(self) -> str:
        """What a user should know before choosing it."""
        cost = "1 evaluation" if self.evaluations == 1 else f"{self.evaluations} evaluations"
        return f"{cost} a step" if self.is_deterministic else f"{cost} a step, adds noise"

    def prepared(self, sigmas: Sequence[float], scale: NoiseScale) -> Sequence[float]:
        """The noise levels for `Flow.sigmas`.

        The initial latents are mixed at the first level that was asked for; what the run ends with is divided
        by 1 - the last level returned here.

        Raises
        ------
        ValueError
            If there are fewer than two levels, or one before the last is not above 0.
        """
        if len(sigmas) < 2:
            raise ValueError("a step needs two noise levels")
        if min(sigmas[:-1]) <= 0 or sigmas[-1] < 0:
            raise ValueError("noise levels must be above 0; only the last may be 0")
        return self.levels(sigmas, scale)

    def visited(
        self, sigmas: Sequence[float], scale: NoiseScale, options: Mapping[str, Any] | None = None
    ) -> tuple[float, ...]:
        """The levels at which a run evaluates the model, in the order of the first evaluation at each.

        Parameters
        ----------
        sigmas
            `prepared`. Those of an adaptive sampler alone are known beforehand, not what it visits between.
        options
            Keyword parameters of the solver.
        """
        if self.is_adaptive:
            return tuple(sigmas[:-1])
        flow = _Rehearsal(sigmas, scale)
        for _ in self.run(flow, State(0, flow.nothing), options):
            pass
        return tuple(flow.visited)

    def run(self, flow: Flow, state: State, options: Mapping[str, Any] | None = None) -> Iterator[State]:
        """The states after each step to come, up to the last.

        Parameters
        ----------
        flow
            Its levels are `prepared`.
        state
            `State(0, latents)`, or one that this has yielded, from which it goes on to the same bits.
        options
            Keyword parameters of the solver in ``solvers/``.
        """
        while self.done(flow.sigmas, state) < self.steps(flow.sigmas):
            state = self.advance(flow, state, **(options or {}))
            yield state


class _Rehearsal(Flow):
    """A flow without a model, which notes the levels that it is asked for."""

    def __init__(self, sigmas: Sequence[float], scale: NoiseScale) -> None:
        import mlx.core as mx

        self.sigmas = sigmas
        self.scale = scale
        self.nothing = mx.zeros((2,))
        self.visited: dict[float, None] = {}

    def velocity(self, latents: mx.array, sigma: float) -> mx.array:
        self.visited[sigma] = None
        return self.nothing

    def denoised(self, latents: mx.array, sigma: float) -> mx.array:
        return self.velocity(latents, sigma)

    @property
    def uncond_denoised(self) -> mx.array:
        return self.nothing

    def noise(self, draw: int) -> mx.array:
        return self.nothing

    def brownian(self, sigma: float, following: float) -> mx.array:
        return self.nothing


_SDE = Sampler(sde.dpmpp_sde, 2, "brownian", levels=below_one)
_2M_SDE = Sampler(sde.dpmpp_2m_sde, 1, "brownian", levels=apart)
_2M_SDE_HEUN = Sampler(partial(sde.dpmpp_2m_sde, solver_type="heun"), 1, "brownian", levels=apart)
_3M_SDE = Sampler(sde.dpmpp_3m_sde, 1, "brownian", levels=apart)

SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(one_step.euler),
    "euler_cfg_pp": Sampler(cfg_pp.euler_cfg_pp, uses_negative=True),
    "euler_ancestral": Sampler(ancestral.euler_ancestral, noise="fresh"),
    "euler_ancestral_cfg_pp": Sampler(cfg_pp.euler_ancestral_cfg_pp, noise="fresh", uses_negative=True),
    "heun": Sampler(one_step.heun, 2),
    "heunpp2": Sampler(one_step.heunpp2, 3),
    "exp_heun_2_x0": Sampler(partial(sde.seeds_2, r=1.0, solver_type="phi_2", eta=0.0), 2, levels=apart),
    "exp_heun_2_x0_sde": Sampler(partial(sde.seeds_2, r=1.0, solver_type="phi_2"), 2, "fresh", levels=apart),
    "dpm_2": Sampler(one_step.dpm_2, 2, drops_penultimate=True),
    "dpm_2_ancestral": Sampler(ancestral.dpm_2_ancestral, 2, "fresh", drops_penultimate=True),
    "lms": Sampler(multistep.lms),
    "dpm_fast": Sampler(dpm_solver.dpm_fast, 3, steps=dpm_solver.fast_steps),
    "dpm_adaptive": Sampler(dpm_solver.dpm_adaptive, 3, done=dpm_solver.levels_passed, is_adaptive=True),
    "dpmpp_2s_ancestral": Sampler(ancestral.dpmpp_2s_ancestral, 2, "fresh"),
    "dpmpp_2s_ancestral_cfg_pp": Sampler(cfg_pp.dpmpp_2s_ancestral_cfg_pp, 2, "fresh", uses_negative=True),
    "dpmpp_sde": _SDE,
    "dpmpp_sde_gpu": _SDE,
    "dpmpp_2m": Sampler(multistep.dpmpp_2m),
    "dpmpp_2m_cfg_pp": Sampler(cfg_pp.dpmpp_2m_cfg_pp, uses_negative=True),
    "dpmpp_2m_sde": _2M_SDE,
    "dpmpp_2m_sde_gpu": _2M_SDE,
    "dpmpp_2m_sde_heun": _2M_SDE_HEUN,
    "dpmpp_2m_sde_heun_gpu": _2M_SDE_HEUN,
    "dpmpp_3m_sde": _3M_SDE,
    "dpmpp_3m_sde_gpu": _3M_SDE,
    "ddpm": Sampler(ancestral.ddpm, noise="fresh"),
    "lcm": Sampler(ancestral.lcm, noise="fresh"),
    "ipndm": Sampler(multistep.ipndm),
    "ipndm_v": Sampler(multistep.ipndm_v),
    "deis": Sampler(deis),
    "res_multistep": Sampler(multistep.res_multistep),
    "res_multistep_cfg_pp": Sampler(cfg_pp.res_multistep_cfg_pp, uses_negative=True),
    "res_multistep_ancestral": Sampler(partial(multistep.res_multistep, eta=1.0), noise="fresh"),
    "res_multistep_ancestral_cfg_pp": Sampler(
        partial(cfg_pp.res_multistep_cfg_pp, eta=1.0), noise="fresh", uses_negative=True
    ),
    "gradient_estimation": Sampler(multistep.gradient_estimation),
    "gradient_estimation_cfg_pp": Sampler(cfg_pp.gradient_estimation_cfg_pp, uses_negative=True),
    "er_sde": Sampler(er_sde, noise="fresh", levels=apart),
    "seeds_2": Sampler(sde.seeds_2, 2, "fresh", levels=below_one),
    "seeds_3": Sampler(sde.seeds_3, 3, "fresh", levels=apart),
    "sa_solver": Sampler(sa_solver, noise="fresh", levels=apart),
    "sa_solver_pece": Sampler(sa_solver_pece, 2, "fresh", levels=apart),
    "ddim": Sampler(one_step.euler, renews_inpainting_noise=True),
    "uni_pc": Sampler(uni_pc, levels=above_zero, drops_penultimate=True),
    "uni_pc_bh2": Sampler(uni_pc_bh2, levels=above_zero, drops_penultimate=True),
}
"""All samplers by the names that ComfyUI and k-diffusion give them, in ComfyUI's order.

For those that end in ``_gpu`` ComfyUI draws noise on the GPU; here they are the same as the others.
"""

PLAIN_SAMPLERS = tuple(name for name, sampler in SAMPLERS.items() if sampler.is_plain)

if TYPE_CHECKING:
    SamplerName = str
    PlainSamplerName = str
else:
    SamplerName = Literal[tuple(SAMPLERS)]
    PlainSamplerName = Literal[PLAIN_SAMPLERS]
