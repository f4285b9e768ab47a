"""LoRAs: small files that adapt FLUX's transformer."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.model_inputs import LoraChoice
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.models.lora_files import resolve_lora


class Adapted(Outputs):
    flux: Flux = Field(description="The transformer with the LoRA applied.")


class LoadLora(LoraChoice, Node):
    """Apply a LoRA to FLUX's transformer.

    Chain several of these nodes; their updates add up. The original `flux` can still be used beside the
    adapted one, and both share their weights in memory. Files of diffusers, PEFT, kohya, ComfyUI, ai-toolkit,
    OneTrainer, SimpleTuner, XLabs and LyCORIS (LoKr) for FLUX.1 are accepted; a file for another model, or of
    a kind that cannot be applied whole (DoRA, LoHa), is refused before anything is sampled.
    """

    category = "loaders"
    forwards_models = True
    lora_input: ClassVar = "lora"

    flux: Flux = Field(description="The transformer, from LoadFlux or another LoadLora.")
    lora: str = Field(
        description="A .safetensors file; a Hugging Face repository (`org/name`) or a file in one "
        "(`org/name:file.safetensors`); or the name of a file in a folder that LORA_LIBRARY_PATH lists."
    )
    scale: float = Field(default=1.0, ge=-100, le=100, description="Factor on the LoRA's update.")
    unmatched: Literal["refuse", "skip"] = Field(
        default="refuse",
        description="What to do with tensors that are not for FLUX's transformer, such as a text encoder's.",
    )

    def run(self, ctx: Context) -> Adapted:
        from run_graph.runtime.models.lora_matching import lora_of

        path = resolve_lora(self.lora, ctx.find_model).locate()
        lora = lora_of(path, self.lora, self.scale, self.unmatched == "skip")
        return Adapted(flux=replace(self.flux, loras=(*self.flux.loras, lora)))
