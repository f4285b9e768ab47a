"""How a model's noise levels are shifted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.models.handles import Flux

if TYPE_CHECKING:
    from run_graph.runtime.sampling.schedules import NoiseScale

# Beyond it the shift's exponential, or its inverse, is not a number any more.
LARGEST_SHIFT = 700


class Shifted(Outputs):
    model: Flux = Field(description="The model with its noise levels shifted.")


class ModelSamplingFlux(Node):
    """Shift a model's noise levels for pictures of a size: the larger the picture, the more noise.

    Without this node, ComfyUI shifts FLUX.1 dev's levels by 1.15 at every size, and schnell's not at all.
    """

    category = "comfyui/model"
    forwards_models = True

    model: Flux = Field(description="The transformer.")
    max_shift: float = Field(default=1.15, ge=0, le=100, description="The shift at 1024 x 1024 pixels.")
    base_shift: float = Field(default=0.5, ge=0, le=100, description="The shift at 256 x 256 pixels.")
    width: int = Field(default=1024, ge=16, le=16384, description="Pixels.")
    height: int = Field(default=1024, ge=16, le=16384, description="Pixels.")

    def run(self, ctx: Context) -> Shifted:
        from run_graph.runtime.sampling.schedules import flux_shift

        mu = flux_shift(self.max_shift, self.base_shift, self.width, self.height)
        if abs(mu) > LARGEST_SHIFT:
            raise ValueError(
                f"the shift at {self.width} x {self.height} pixels is {mu:.0f}, which leaves no noise levels "
                "to tell apart; use a smaller max_shift or size"
            )
        return Shifted(model=replace(self.model, mu=mu))


def scale_of(model: Flux) -> NoiseScale:
    """The noise levels of a model in ComfyUI's nodes."""
    from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
    from run_graph.runtime.sampling.schedules import comfyui_scale

    shift = True if model.mu is not None else shifts_sigmas(model.checkpoint)
    return comfyui_scale(model.mu, shift=shift)
