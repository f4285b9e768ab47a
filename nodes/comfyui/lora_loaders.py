"""LoRAs, for the transformer and for the text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.model_loaders import Transformer
from run_graph.nodes.model_inputs import LoraChoice
from run_graph.runtime.models.components import TEXT_ENCODERS, TRANSFORMER_ONLY, Component
from run_graph.runtime.models.handles import Flux, ModelHandle, TextEncoders
from run_graph.runtime.models.lora_files import resolve_lora

if TYPE_CHECKING:
    from run_graph.runtime.models.lora_matching import LoraLayout

Handle = TypeVar("Handle", bound=ModelHandle)

_LORA = "A .safetensors file, a repository, or the name of a file in a folder that LORA_LIBRARY_PATH lists."


class AdaptedModels(Outputs):
    model: Flux = Field(description="The transformer with the LoRA applied.")
    clip: TextEncoders = Field(description="The text encoders with the LoRA applied.")


def _examined(ctx: Context, name: str) -> LoraLayout:
    from run_graph.runtime.models.lora_matching import examine

    path = resolve_lora(name, ctx.find_model).locate()
    return examine(path, skip_unmatched=True, components=(*TRANSFORMER_ONLY, *TEXT_ENCODERS))


def _applied(
    handle: Handle, layout: LoraLayout, name: str, strength: float, components: Sequence[Component]
) -> Handle:
    """The handle with the LoRA on those of its networks that the file has layers of."""
    from run_graph.runtime.models.lora_matching import lora_of

    changed = tuple(component for component in components if layout.of(component))
    if not changed or strength == 0:
        return handle
    lora = lora_of(layout.path, name, strength, skip_unmatched=True, components=changed)
    return replace(handle, loras=(*handle.loras, lora))


def _tell_unused(ctx: Context, name: str, keys: Sequence[str]) -> None:
    from run_graph.runtime.models.lora_matching import listed

    if keys:
        ctx.warn(
            f"{name}: {len(keys)} of its tensors are for no network that it changes here: {listed(keys)}"
        )


class LoraLoader(LoraChoice, Node):
    """Apply a LoRA to FLUX.1's transformer and text encoders. The originals can still be used beside them."""

    category = "comfyui/loaders"
    forwards_models = True
    lora_input: ClassVar = "lora_name"

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
        layout, name = _examined(ctx, self.lora_name), self.lora_name
        _tell_unused(ctx, name, layout.unmatched)
        return AdaptedModels(
            model=_applied(self.model, layout, name, self.strength_model, TRANSFORMER_ONLY),
            clip=_applied(self.clip, layout, name, self.strength_clip, TEXT_ENCODERS),
        )


class LoraLoaderModelOnly(LoraChoice, Node):
    """Apply a LoRA to FLUX.1's transformer alone. The original can still be used beside it."""

    category = "comfyui/loaders"
    forwards_models = True
    lora_input: ClassVar = "lora_name"

    model: Flux = Field(description="The transformer.")
    lora_name: str = Field(description=_LORA)
    strength_model: float = Field(default=1.0, ge=-100, le=100, description="Factor on the update.")

    def run(self, ctx: Context) -> Transformer:
        if self.strength_model == 0:
            return Transformer(model=self.model)
        layout, name = _examined(ctx, self.lora_name), self.lora_name
        of_text = [key for component in TEXT_ENCODERS for key in layout.keys_of(component)]
        _tell_unused(ctx, name, [*layout.unmatched, *of_text])
        return Transformer(model=_applied(self.model, layout, name, self.strength_model, TRANSFORMER_ONLY))
