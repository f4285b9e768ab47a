"""Models into files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.new_folder import folder_taken, new_folder
from run_graph.runtime.files.outputs import folder_fault, prefix_folder
from run_graph.runtime.models.handles import Flux, ModelHandle, Redux, Siglip, TextEncoders, Vae


class SavedModel(Outputs):
    path: str = Field(description="The folder that was written.")


class SaveModel(Node):
    """Write models into a new folder as mflux-save does, to be read again without quantising.

    LoadFlux, LoadRedux and mflux take the folder in place of a model's name. What is not linked is not in it.
    Weights have the precision that their loader asks for. Files are as large as the weights in memory; those
    that were not quantised keep 16 bits if they have no more. An existing folder is never changed, and one
    that could not be written whole is not there. A model with a LoRA is refused.
    """

    category = "loaders"
    is_output = True

    folder: str = Field(description="Name of the new folder in the output folder; may name subfolders.")
    flux: Flux | None = Field(default=None, description="The transformer, with its noise schedule.")
    text_encoders: TextEncoders | None = Field(
        default=None, description="T5 and CLIP, with their tokenizers."
    )
    vae: Vae | None = Field(default=None, description="The autoencoder.")
    siglip: Siglip | None = Field(default=None, description="The vision tower.")
    redux: Redux | None = Field(default=None, description="The Redux encoder.")

    def check(self, env: Environment) -> Iterable[Problem]:
        if not isinstance(self.folder, str):
            return
        try:
            target = self._target(env.output_directory)
        except SaveError as error:
            yield Problem("folder", str(error), "Name a place inside the output folder.", found=self.folder)
            return
        if taken := folder_taken(target):
            yield Problem("folder", taken, "Name another folder.", found=self.folder)
        elif fault := folder_fault(target.parent):
            yield Problem("folder", fault, "Choose another output folder (--output).", found=self.folder)
        if all(getattr(self, name) is None for name in _MODELS):
            yield Problem("flux", "nothing is linked that could be saved", "Link a model.")

    def fingerprint(self, env: Environment) -> Any:
        return os.path.abspath(env.output_directory)

    def effects(self, env: Environment) -> Iterable[Effect]:
        known = isinstance(self.folder, str)
        yield Effect("write", str(self._target(env.output_directory) if known else env.output_directory))

    def is_still_valid(self, outputs: Any) -> bool:
        return os.path.isdir(outputs.path)

    def run(self, ctx: Context) -> SavedModel:
        from run_graph.runtime.models.saving import write_component, write_schedule, write_tokenizers
        from run_graph.runtime.models.store import ModelStore

        store = ctx.service(ModelStore)
        handles: list[ModelHandle] = [each for name in _MODELS if (each := getattr(self, name)) is not None]
        _refuse_loras(handles)
        parts = [(handle, component) for handle in handles for component in handle.components]
        target = self._target(ctx.output_directory)
        with new_folder(target) as place:
            for number, (handle, component) in enumerate(parts):
                ctx.progress(number, len(parts))
                loaded = store.get(handle.checkpoint, component, handle.quantize)
                write_component(place, component, loaded)
            if self.text_encoders is not None:
                write_tokenizers(place, self.text_encoders.checkpoint)
            if self.flux is not None:
                write_schedule(place, self.flux.checkpoint)
        ctx.progress(len(parts), len(parts))
        ctx.file_saved(target)
        return SavedModel(path=str(target))

    def _target(self, folder: Path) -> Path:
        return prefix_folder(folder, self.folder) / Path(self.folder.replace("\\", "/")).name


_MODELS = ("text_encoders", "flux", "vae", "siglip", "redux")


def _refuse_loras(handles: Iterable[ModelHandle]) -> None:
    for handle in handles:
        if handle.loras:
            names = ", ".join(lora.name for lora in handle.loras)
            raise ValueError(
                f"{handle!r} has the LoRA {names}, which is not merged into its weights; link the model from "
                "its loader, and apply the LoRA after loading the saved one"
            )
