"""Noise levels: written by hand, cut, turned around, filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.model_sampling import scale_of
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.values import Sigmas

GIVEN = "Noise levels."


class Edited(Outputs):
    sigmas: Sigmas = Field(description="The changed noise levels.")


def _edited(levels: Sequence[float]) -> Edited:
    return Edited(sigmas=Sigmas.of(levels))


class Split(Outputs):
    high_sigmas: Sigmas = Field(description="The levels of the first steps.")
    low_sigmas: Sigmas = Field(description="The levels of the other steps, from where the first end.")


class SplitSigmas(Node):
    """Split a run after a number of steps, for two samplers one after the other."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    sigmas: Sigmas = Field(description=GIVEN)
    step: int = Field(default=0, ge=0, le=10000, description="How many steps the first part has.")

    def run(self, ctx: Context) -> Split:
        levels = self.sigmas.levels
        high, low = levels[: self.step + 1], levels[self.step :]
        return Split(high_sigmas=Sigmas.of(high), low_sigmas=Sigmas.of(low))


class SplitSigmasDenoise(Node):
    """Split a run so that its last part has a share of the steps."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    sigmas: Sigmas = Field(description=GIVEN)
    denoise: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="The last part's share; if it comes to no step, nothing is in the first part.",
    )

    def run(self, ctx: Context) -> Split:
        from run_graph.runtime.sampling.spacing import split_at_denoise

        high, low = split_at_denoise(self.sigmas.to_list(), self.denoise)
        return Split(high_sigmas=Sigmas.of(high), low_sigmas=Sigmas.of(low))


class FlipSigmas(Node):
    """Turn noise levels around, to go from a picture to its noise. A 0 becomes 0.0001."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    sigmas: Sigmas = Field(description=GIVEN)

    def run(self, ctx: Context) -> Edited:
        from run_graph.runtime.sampling.spacing import flipped

        return _edited(flipped(self.sigmas.to_list()))


class SetFirstSigma(Node):
    """Replace the first noise level."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    sigmas: Sigmas = Field(description=f"{GIVEN[:-1]}; at least one.")
    sigma: float = Field(default=136.0, ge=0, le=20000, description="The level; FLUX knows levels up to 1.")

    def run(self, ctx: Context) -> Edited:
        levels = self.sigmas.to_list()
        if not levels:
            raise ValueError("there is no first noise level to replace: sigmas is empty")
        return _edited([self.sigma, *levels[1:]])


class ExtendIntermediateSigmas(Node):
    """Put more noise levels between those of a range."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    sigmas: Sigmas = Field(description=GIVEN)
    steps: int = Field(default=2, ge=1, le=100, description="How many steps become of one.")
    start_at_sigma: float = Field(
        default=-1.0, ge=-1, le=20000, description="The highest level that is extended; below 0: any."
    )
    end_at_sigma: float = Field(
        default=12.0, ge=0, le=20000, description="The lowest level that is extended; FLUX's are at most 1."
    )
    spacing: Literal["linear", "cosine", "sine"] = Field(
        default="linear", description="Whether the new steps are even, shrink or grow."
    )

    def run(self, ctx: Context) -> Edited:
        from run_graph.runtime.sampling.spacing import extended

        start = self.start_at_sigma if self.start_at_sigma >= 0 else float("inf")
        levels = self.sigmas.to_list()
        return _edited(extended(levels, self.steps, start, self.end_at_sigma, self.spacing))


class ManualSigmas(Node):
    """Noise levels as text."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    sigmas: str = Field(default="1, 0.5", description="Numbers with commas or spaces between them.")

    def run(self, ctx: Context) -> Edited:
        from run_graph.runtime.sampling.spacing import written_levels

        return _edited(written_levels(self.sigmas))


class Level(Outputs):
    sigma_value: float = Field(description="The noise level.")


class SamplingPercentToSigma(Node):
    """The noise level at a part of the way from noise to picture, as conditions' time ranges count it."""

    category = "comfyui/sampling/sigmas"
    persistent = False

    model: Flux = Field(description="The transformer, whose levels are shifted as it asks for.")
    sampling_percent: float = Field(default=0.0, ge=0, le=1, description="0 is noise, 1 the picture.")
    return_actual_sigma: bool = Field(
        default=False, description="At 1: the model's lowest level above 0 in place of 0."
    )

    def run(self, ctx: Context) -> Level:
        scale = scale_of(self.model)
        if self.sampling_percent == 1 and self.return_actual_sigma:
            return Level(sigma_value=scale.lowest)
        return Level(sigma_value=scale.at_part(self.sampling_percent))
