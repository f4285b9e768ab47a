"""Samplers and their options, for the nodes that sample."""

from __future__ import annotations

import warnings
from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.sampling.samplers import SamplerName
from run_graph.runtime.values import SamplerChoice

ETA = "How much of each step's way is noise: 0 adds none, 1 is usual."
S_NOISE = "Factor on the noise that is added."
DEVICE = "Both are the same here: the noise of ComfyUI's `cpu`."

NoiseDevice = Literal["gpu", "cpu"]


class ChosenSampler(Outputs):
    sampler: SamplerChoice = Field(description="The sampler with its options.")


def _chosen(name: str, **options: float | int | str) -> ChosenSampler:
    return ChosenSampler(sampler=SamplerChoice(name, tuple(options.items())))


class KSamplerSelect(Node):
    """Choose a sampler by name, with its usual options."""

    category = "comfyui/sampling/samplers"
    persistent = False

    sampler_name: SamplerName = Field(
        default="euler",
        description="Its name in ComfyUI. Those with `cfg_pp` evaluate the negative prompt at every step.",
    )

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen(self.sampler_name)


class SamplerEulerAncestral(Node):
    """Ancestral Euler: each step ends below its level and adds noise up to it."""

    category = "comfyui/sampling/samplers"
    persistent = False

    eta: float = Field(default=1.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("euler_ancestral", eta=self.eta, s_noise=self.s_noise)


with warnings.catch_warnings():
    # ComfyUI's input has the name of a class attribute, of which pydantic warns. The attribute stays what it
    # is: `SamplerEulerCFGpp.version` is the class's version.
    warnings.simplefilter("ignore", UserWarning)

    class SamplerEulerCFGpp(Node):
        """Euler's method with CFG++: the direction of the noise is the negative prompt's."""

        category = "comfyui/sampling/samplers"
        persistent = False

        version: Literal["regular", "alternative"] = Field(  # type: ignore[misc, assignment]
            default="regular", description="The formula; `alternative` is an older one of ComfyUI's."
        )

        def run(self, ctx: Context) -> ChosenSampler:
            return _chosen("euler_cfg_pp", version=self.version)


class SamplerLMS(Node):
    """Linear multistep: a polynomial through the velocities of the last steps is integrated."""

    category = "comfyui/sampling/samplers"
    persistent = False

    order: int = Field(default=4, ge=1, le=100, description="How many velocities, at most.")

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("lms", order=self.order)


class SamplerLCM(Node):
    """Consistency sampling: each step denoises wholly, and adds noise up to the next level."""

    category = "comfyui/sampling/samplers"
    persistent = False

    s_noise: float = Field(default=1.0, ge=0, le=64, description=f"{S_NOISE[:-1]} in the first step.")
    s_noise_end: float = Field(
        default=1.0, ge=0, le=64, description="The factor in the last step; it moves evenly towards it."
    )
    noise_clip_std: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Noise of more than so many standard deviations is clipped; 0 clips none.",
    )

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen(
            "lcm",
            s_noise=self.s_noise,
            s_noise_end=self.s_noise_end,
            noise_clip_std=self.noise_clip_std,
        )


class SamplerDPMAdaptative(Node):
    """DPM-Solver with steps of a size that a controller adapts to the error.

    It follows the noise levels' first and last, not those between.
    """

    category = "comfyui/sampling/samplers"
    persistent = False

    order: int = Field(default=3, ge=2, le=3, description="Of the more exact of two solutions.")
    rtol: float = Field(default=0.05, ge=0, le=100, description="Tolerated error over the latents' size.")
    atol: float = Field(default=0.0078, ge=0, le=100, description="Error that is always tolerated.")
    h_init: float = Field(default=0.05, ge=0, le=100, description="The first step's size, in -ln level.")
    pcoeff: float = Field(default=0.0, ge=0, le=100, description="The controller's proportional part.")
    icoeff: float = Field(default=1.0, ge=0, le=100, description="The controller's integral part.")
    dcoeff: float = Field(default=0.0, ge=0, le=100, description="The controller's derivative part.")
    accept_safety: float = Field(
        default=0.81,
        ge=0,
        le=100,
        description="A step is taken again if the next one would shrink by more than this factor.",
    )
    eta: float = Field(default=0.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)

    def run(self, ctx: Context) -> ChosenSampler:
        names = ("order", "rtol", "atol", "h_init", "pcoeff", "icoeff", "dcoeff", "accept_safety", "eta")
        return _chosen("dpm_adaptive", **{name: getattr(self, name) for name in (*names, "s_noise")})


class SamplerDPMPP_2S_Ancestral(Node):  # noqa: N801 - ComfyUI's name
    """DPM-Solver++(2S): two evaluations a step, and noise as in ancestral Euler."""

    category = "comfyui/sampling/samplers"
    persistent = False

    eta: float = Field(default=1.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("dpmpp_2s_ancestral", eta=self.eta, s_noise=self.s_noise)


class SamplerDPMPP_2M_SDE(Node):  # noqa: N801
    """DPM-Solver++(2M) for the stochastic equation: uses the step before, and adds noise."""

    category = "comfyui/sampling/samplers"
    persistent = False

    solver_type: Literal["midpoint", "heun"] = Field(
        default="midpoint", description="How the step before is weighed."
    )
    eta: float = Field(default=1.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)
    noise_device: NoiseDevice = Field(default="gpu", description=DEVICE)

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("dpmpp_2m_sde", solver_type=self.solver_type, eta=self.eta, s_noise=self.s_noise)


class SamplerDPMPP_SDE(Node):  # noqa: N801
    """DPM-Solver++ for the stochastic equation, with two evaluations a step."""

    category = "comfyui/sampling/samplers"
    persistent = False

    eta: float = Field(default=1.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)
    r: float = Field(
        default=0.5, ge=0, le=100, description="Where in the step the second evaluation is; above 0."
    )
    noise_device: NoiseDevice = Field(default="gpu", description=DEVICE)

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("dpmpp_sde", eta=self.eta, s_noise=self.s_noise, r=self.r)


class SamplerDPMPP_3M_SDE(Node):  # noqa: N801
    """DPM-Solver++(3M) for the stochastic equation: uses the two steps before, and adds noise."""

    category = "comfyui/sampling/samplers"
    persistent = False

    eta: float = Field(default=1.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)
    noise_device: NoiseDevice = Field(default="gpu", description=DEVICE)

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("dpmpp_3m_sde", eta=self.eta, s_noise=self.s_noise)


class SamplerER_SDE(Node):  # noqa: N801
    """ER-SDE: solve an extended reverse-time equation with up to three denoised pictures."""

    category = "comfyui/sampling/samplers"
    persistent = False

    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"] = Field(
        default="ER-SDE", description="The equation; `ODE` adds no noise."
    )
    max_stage: int = Field(default=3, ge=1, le=3, description="How many denoised pictures, at most.")
    eta: float = Field(default=1.0, ge=0, le=10, description=f"{ETA[:-1]}; for `Reverse-time SDE` only.")
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen(
            "er_sde",
            solver_type=self.solver_type,
            max_stage=self.max_stage,
            eta=self.eta,
            s_noise=self.s_noise,
        )


class SamplerSEEDS2(Node):
    """SEEDS-2: an exponential solver of the stochastic equation with two evaluations a step."""

    category = "comfyui/sampling/samplers"
    persistent = False

    solver_type: Literal["phi_1", "phi_2"] = Field(
        default="phi_1", description="How the second evaluation is weighed."
    )
    eta: float = Field(default=1.0, ge=0, le=100, description=ETA)
    s_noise: float = Field(default=1.0, ge=0, le=100, description=S_NOISE)
    r: float = Field(
        default=0.5,
        ge=0.01,
        le=1,
        description="Where in the step the second evaluation is: 0.5 is its middle; 1 with phi_2 is "
        "exponential Heun.",
    )

    def run(self, ctx: Context) -> ChosenSampler:
        return _chosen("seeds_2", solver_type=self.solver_type, eta=self.eta, s_noise=self.s_noise, r=self.r)
