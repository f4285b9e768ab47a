"""Noise levels from a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.model_sampling import scale_of
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.sampling.schedules import ComfyuiScheduleName
from run_graph.runtime.values import Sigmas

STEPS = "Number of steps."
DENOISE = "How much of the way from noise to picture is taken: its last part. 0 takes no step."
HIGHEST = "The first noise level; FLUX knows levels up to 1."
LOWEST = "The last noise level above 0."


class Scheduled(Outputs):
    sigmas: Sigmas = Field(description="The noise levels, highest first.")


def _scheduled(levels: Sequence[float]) -> Scheduled:
    return Scheduled(sigmas=Sigmas.of(levels))


class BasicScheduler(Node):
    """Choose noise levels by the name of a schedule.

    With `denoise` below 1, the schedule has steps / denoise steps, of which the last are taken.
    """

    category = "comfyui/sampling/schedulers"
    persistent = False
    heavy = False  # reads the model's settings only

    model: Flux = Field(description="The transformer, whose levels are shifted as it asks for.")
    scheduler: ComfyuiScheduleName = Field(default="simple", description="The schedule's name in ComfyUI.")
    steps: int = Field(default=20, ge=1, le=10000, description=STEPS)
    denoise: float = Field(default=1.0, ge=0, le=1, description=DENOISE)

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.schedules import last_levels

        return _scheduled(last_levels(self.scheduler, self.steps, scale_of(self.model), self.denoise))


class KarrasScheduler(Node):
    """Noise levels whose rho-th roots are evenly spaced."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    steps: int = Field(default=20, ge=1, le=10000, description=STEPS)
    sigma_max: float = Field(default=14.614642, ge=0, le=5000, description=HIGHEST)
    sigma_min: float = Field(default=0.0291675, ge=0, le=5000, description=LOWEST)
    rho: float = Field(default=7.0, ge=0, le=100, description="The larger, the more low levels; above 0.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import karras_levels

        return _scheduled(karras_levels(self.steps, self.sigma_max, self.sigma_min, self.rho))


class ExponentialScheduler(Node):
    """Noise levels whose logarithms are evenly spaced."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    steps: int = Field(default=20, ge=1, le=10000, description=STEPS)
    sigma_max: float = Field(default=14.614642, ge=0, le=5000, description=HIGHEST)
    sigma_min: float = Field(default=0.0291675, ge=0, le=5000, description=f"{LOWEST[:-1]}; above 0.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import exponential_levels

        return _scheduled(exponential_levels(self.steps, self.sigma_max, self.sigma_min))


class PolyexponentialScheduler(Node):
    """Noise levels whose logarithms follow a power."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    steps: int = Field(default=20, ge=1, le=10000, description=STEPS)
    sigma_max: float = Field(default=14.614642, ge=0, le=5000, description=HIGHEST)
    sigma_min: float = Field(default=0.0291675, ge=0, le=5000, description=f"{LOWEST[:-1]}; above 0.")
    rho: float = Field(default=1.0, ge=0, le=100, description="The power; 1 is even.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import polyexponential_levels

        return _scheduled(polyexponential_levels(self.steps, self.sigma_max, self.sigma_min, self.rho))


class LaplaceScheduler(Node):
    """Noise levels at the quantiles of a Laplace distribution of their logarithms; the last is not 0."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    steps: int = Field(default=20, ge=1, le=10000, description="Number of levels.")
    sigma_max: float = Field(default=14.614642, ge=0, le=5000, description="No level is above it.")
    sigma_min: float = Field(default=0.0291675, ge=0, le=5000, description="No level is below it.")
    mu: float = Field(default=0.0, ge=-10, le=10, description="The logarithm of the middle level.")
    beta: float = Field(default=0.5, ge=0, le=10, description="How far the levels are spread.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import laplace_levels

        return _scheduled(laplace_levels(self.steps, self.sigma_max, self.sigma_min, self.mu, self.beta))


class VPScheduler(Node):
    """Noise levels of a variance-preserving process at even times."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    steps: int = Field(default=20, ge=1, le=10000, description=STEPS)
    beta_d: float = Field(default=19.9, ge=0, le=5000, description="How much the noise's rate grows.")
    beta_min: float = Field(default=0.1, ge=0, le=5000, description="The noise's rate at time 0.")
    eps_s: float = Field(default=0.001, ge=0, le=1, description="The time of the lowest level above 0.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import vp_levels

        return _scheduled(vp_levels(self.steps, self.beta_d, self.beta_min, self.eps_s))


class BetaSamplingScheduler(Node):
    """The model's noise levels at the quantiles of a beta distribution.

    Below 1, `alpha` and `beta` favour the ends. Levels that come twice are taken once.
    """

    category = "comfyui/sampling/schedulers"
    persistent = False

    model: Flux = Field(description="The transformer, whose levels are shifted as it asks for.")
    steps: int = Field(default=20, ge=1, le=10000, description=STEPS)
    alpha: float = Field(default=0.6, ge=0, le=50, description="Of the distribution; above 0.")
    beta: float = Field(default=0.6, ge=0, le=50, description="Of the distribution; above 0.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.schedules import beta_levels

        return _scheduled(beta_levels(self.steps, scale_of(self.model), self.alpha, self.beta))


class SDTurboScheduler(Node):
    """SD Turbo's noise levels: the model's at times 999, 899, ... 99, then 0. Not made for FLUX."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    model: Flux = Field(description="The transformer, whose levels are shifted as it asks for.")
    steps: int = Field(default=1, ge=1, le=10, description=STEPS)
    denoise: float = Field(
        default=1.0, ge=0, le=1, description="The share of the ten times that may be used, the lowest ones."
    )

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.schedules import turbo_levels

        return _scheduled(turbo_levels(self.steps, scale_of(self.model), self.denoise))


class AlignYourStepsScheduler(Node):
    """Published noise levels for Stable Diffusion models: Align Your Steps. Not made for FLUX."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    model_type: Literal["SD1", "SDXL", "SVD"] = Field(default="SD1", description="For which model.")
    steps: int = Field(default=10, ge=1, le=10000, description=f"{STEPS[:-1]}; 10 are published.")
    denoise: float = Field(default=1.0, ge=0, le=1, description=DENOISE)

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import ALIGN_YOUR_STEPS, published_levels

        return _scheduled(published_levels(ALIGN_YOUR_STEPS[self.model_type], self.steps, self.denoise))


class OptimalStepsScheduler(Node):
    """Published noise levels for flow models: Optimal Stepsize for Diffusion Sampling."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    model_type: Literal["FLUX", "Wan", "Chroma"] = Field(default="FLUX", description="For which model.")
    steps: int = Field(default=20, ge=3, le=1000, description=f"{STEPS[:-1]}; 10 are published for FLUX.")
    denoise: float = Field(default=1.0, ge=0, le=1, description=DENOISE)

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import OPTIMAL_STEPS, published_levels

        return _scheduled(published_levels(OPTIMAL_STEPS[self.model_type], self.steps, self.denoise))


class Flux2Scheduler(Node):
    """FLUX.2's noise levels, shifted by the picture's size and by the number of steps."""

    category = "comfyui/sampling/schedulers"
    persistent = False

    steps: int = Field(default=20, ge=1, le=4096, description=STEPS)
    width: int = Field(default=1024, ge=16, le=16384, description="Pixels.")
    height: int = Field(default=1024, ge=16, le=16384, description="Pixels.")

    def run(self, ctx: Context) -> Scheduled:
        from run_graph.runtime.sampling.spacing import flux2_levels

        return _scheduled(flux2_levels(self.steps, self.width, self.height))
