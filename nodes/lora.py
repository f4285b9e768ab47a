"""LoRAs: small files that adapt FLUX's transformer and its text encoders."""

from __future__ import annotations

from typing import ClassVar, Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.lora_choice import LoraChoice, applied, examined
from run_graph.runtime.models.components import TEXT_ENCODERS, TRANSFORMER_ONLY, Component
from run_graph.runtime.models.handles import Flux, TextEncoders


class Adapted(Outputs):
    flux: Flux = Field(description="The transformer with the LoRA applied.")
    text_encoders: TextEncoders | None = Field(
        description="The text encoders with the LoRA applied; nothing without them."
    )


class LoadLora(LoraChoice, Node):
    """Apply a LoRA to FLUX's transformer and, if they are linked, to its text encoders.

    Chain several of these nodes; they are applied in order. The original models can still be used beside the
    adapted ones, and share their weights in memory. LoRAs, DoRAs, LoHas, LoKrs and differences of weights are
    accepted, in the files of diffusers, PEFT, kohya, ComfyUI, ai-toolkit, OneTrainer, SimpleTuner, XLabs and
    LyCORIS for FLUX.1. A file for another model, or of a kind that cannot be applied whole, is refused before
    anything is sampled.
    """

    category = "loaders"
    version = 2
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
        description="What to do with tensors that are for no layer of FLUX.1. What is left out, also of a "
        "model that is not linked, is named in a warning.",
    )
    text_encoders: TextEncoders | None = Field(
        default=None,
        description="T5 and CLIP, for a LoRA that changes them too; from LoadFlux or a LoadLora.",
    )
    text_scale: float | None = Field(
        default=None,
        ge=-100,
        le=100,
        description="Factor on the update of the text encoders; that of the transformer if not given.",
    )

    @property
    def changed(self) -> tuple[Component, ...]:
        return TRANSFORMER_ONLY if self.text_encoders is None else (*TRANSFORMER_ONLY, *TEXT_ENCODERS)

    @property
    def skips_unmatched(self) -> bool:
        return self.unmatched == "skip"

    def run(self, ctx: Context) -> Adapted:
        layout = examined(ctx, self)
        flux = applied(self.flux, layout, self.lora, self.scale, TRANSFORMER_ONLY)
        if self.text_encoders is None:
            return Adapted(flux=flux, text_encoders=None)
        scale = self.scale if self.text_scale is None else self.text_scale
        return Adapted(
            flux=flux, text_encoders=applied(self.text_encoders, layout, self.lora, scale, TEXT_ENCODERS)
        )
