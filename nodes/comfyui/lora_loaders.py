"""LoRAs, for the transformer and for the text encoders."""

from __future__ import annotations

from typing import ClassVar

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.model_loaders import Transformer
from run_graph.nodes.lora_choice import LoraChoice, applied, examined
from run_graph.runtime.models.components import TEXT_ENCODERS, TRANSFORMER_ONLY
from run_graph.runtime.models.handles import Flux, TextEncoders

_LORA = "A .safetensors file, a repository, or the name of a file in a folder that LORA_LIBRARY_PATH lists."


class AdaptedModels(Outputs):
    model: Flux = Field(description="The transformer with the LoRA applied.")
    clip: TextEncoders = Field(description="The text encoders with the LoRA applied.")


class LoraLoader(LoraChoice, Node):
    """Apply a LoRA to FLUX.1's transformer and text encoders. The originals can still be used beside them."""

    category = "comfyui/loaders"
    forwards_models = True
    lora_input: ClassVar = "lora_name"
    changed: ClassVar = (*TRANSFORMER_ONLY, *TEXT_ENCODERS)

    model: Flux = Field(description="The transformer.")
    clip: TextEncoders = Field(description="The text encoders.")
    lora_name: str = Field(description=_LORA)
    strength_model: float = Field(
        default=1.0, ge=-100, le=100, description="Factor on the update of the transformer."
    )
    strength_clip: float = Field(
        default=1.0, ge=-100, le=100, description="Factor on the update of the text encoders."
    )

    def run(self, ctx: Context) -> AdaptedModels:
        if self.strength_model == self.strength_clip == 0:
            return AdaptedModels(model=self.model, clip=self.clip)
        layout, name = examined(ctx, self), self.lora_name
        return AdaptedModels(
            model=applied(self.model, layout, name, self.strength_model, TRANSFORMER_ONLY),
            clip=applied(self.clip, layout, name, self.strength_clip, TEXT_ENCODERS),
        )


class LoraLoaderModelOnly(LoraChoice, Node):
    """Apply a LoRA to FLUX.1's transformer alone. The original can still be used beside it."""

    category = "comfyui/loaders"
    forwards_models = True
    lora_input: ClassVar = "lora_name"
    changed: ClassVar = TRANSFORMER_ONLY

    model: Flux = Field(description="The transformer.")
    lora_name: str = Field(description=_LORA)
    strength_model: float = Field(default=1.0, ge=-100, le=100, description="Factor on the update.")

    def run(self, ctx: Context) -> Transformer:
        if self.strength_model == 0:
            return Transformer(model=self.model)
        layout, name = examined(ctx, self), self.lora_name
        return Transformer(model=applied(self.model, layout, name, self.strength_model, TRANSFORMER_ONLY))
