"""LoRAs: small files that adapt FLUX's transformer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.models.hub import commit_of
from run_graph.runtime.models.lora_files import Lora, lora_digest, resolve_lora


class Adapted(Outputs):
    flux: Flux = Field(description="The transformer with the LoRA applied.")


class LoadLora(Node):
    """Apply a LoRA to FLUX's transformer.

    Chain several of these nodes; their updates add up. The original `flux` can still be used beside the
    adapted one, and both share their weights in memory. Files of diffusers, PEFT, kohya, ComfyUI, ai-toolkit,
    OneTrainer, SimpleTuner, XLabs and LyCORIS (LoKr) for FLUX.1 are accepted; a file for another model, or of
    a kind that cannot be applied whole (DoRA, LoHa), is refused before anything is sampled.
    """

    category = "loaders"
    forwards_models = True

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

    def check(self, env: Environment) -> Iterable[Problem]:
        if not isinstance(self.lora, str):
            return
        try:
            resolve_lora(self.lora, env.find_model).check()
        except LoraError as error:
            yield Problem("lora", str(error), "Name another LoRA.", found=self.lora)

    def fingerprint(self, env: Environment) -> Any:
        if not isinstance(self.lora, str):
            return None
        source = resolve_lora(self.lora, env.find_model)
        if source.path is not None:
            return lora_digest(source.path)
        return [self.lora, commit_of(source.repo, None)]  # the repository may change

    def effects(self, env: Environment) -> Iterable[Effect]:
        if not isinstance(self.lora, str):
            return
        source = resolve_lora(self.lora, env.find_model)
        if source.path is not None:
            yield Effect("model", str(source.path), "lora")
        elif not source.is_cached():
            yield Effect("download", self.lora, "lora")

    def run(self, ctx: Context) -> Adapted:
        from run_graph.runtime.models.lora_matching import examine

        path = resolve_lora(self.lora, ctx.find_model).locate()
        skip = self.unmatched == "skip"
        examine(path, skip)
        lora = Lora(lora_digest(path), self.scale, skip, self.lora, path)
        return Adapted(flux=replace(self.flux, loras=(*self.flux.loras, lora)))
