"""Models changed in how they sample."""

from __future__ import annotations

from dataclasses import replace

from run_graph.graph import Context, Field, Node
from run_graph.nodes.comfyui.model_sampling import Shifted as Patched
from run_graph.runtime.models.handles import Flux


class RescaleCFG(Node):
    """Set the spread of guided predictions back, in part, to the positive ones: fewer burnt colours."""

    category = "comfyui/model"
    forwards_models = True

    model: Flux = Field(description="The transformer.")
    multiplier: float = Field(default=0.7, ge=0, le=1, description="The part that is set back.")

    def run(self, ctx: Context) -> Patched:
        return Patched(model=replace(self.model, rescale=self.multiplier))


class DifferentialDiffusion(Node):
    """Let a latent's mask say when each place begins to change, rather than how much it does."""

    category = "comfyui/model"
    forwards_models = True

    model: Flux = Field(description="The transformer.")
    strength: float = Field(
        default=1.0, ge=0, le=1, description="Below 1, mixed with the mask's plain meaning; 0 counts as 1."
    )

    def run(self, ctx: Context) -> Patched:
        return Patched(model=replace(self.model, differential=self.strength))
