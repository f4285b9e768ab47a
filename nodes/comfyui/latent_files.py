"""Latent pictures from files and into files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.nodes.comfyui.latents import Latents
from run_graph.nodes.saving import PictureWriter
from run_graph.runtime.files.inputs import digest
from run_graph.runtime.files.outputs import prefix_folder
from run_graph.runtime.files.prefix_tokens import expand_tokens
from run_graph.runtime.files.recorded_names import shareable
from run_graph.runtime.files.save_once import save_once
from run_graph.runtime.values import Latent


class SavedLatent(Outputs):
    samples: Latent = Field(
        description="The latent pictures that were given, unchanged.",
        json_schema_extra={"forwards": "samples"},
    )
    path: str = Field(description="The file written.")


class SaveLatent(PictureWriter, Node):
    """Write latent pictures into a file of the output folder, with the whole graph in its metadata.

    The file is called `<prefix>_<00001>_.latent`; numbers continue after the highest in the folder.
    """

    category = "comfyui/latent"
    runs_in_background = False  # it uses MLX

    samples: Latent = Field(description="The latent pictures.")
    filename_prefix: str = Field(
        default="latents/ComfyUI", description="Start of the file name, as for SaveImage."
    )

    def is_still_valid(self, outputs: Any) -> bool:
        return os.path.isfile(outputs.path)

    def run(self, ctx: Context) -> SavedLatent:
        from run_graph.runtime.sampling.latent_files import SUFFIX, to_bytes
        from run_graph.runtime.sampling.latent_operations import CELL

        if self.samples.noise_mask is not None or self.samples.batch_index is not None:
            ctx.warn("a file of latent pictures has no place for their mask and their places in a batch")
        facts = ctx.provenance()
        _, rows, columns, _ = self.samples.samples.shape
        prefix = expand_tokens(
            self.filename_prefix, width=columns * CELL, height=rows * CELL, graph=facts["prompt"]
        )
        places = {"input_directories": facts["input_directories"]}
        kept = {**facts.get("documents", {}), "prompt": facts["prompt"]}
        named = shareable({**kept, "run_graph": places}, prefix_folder(ctx.output_directory, prefix))
        data = to_bytes(self.samples.samples, {name: named[name] for name in kept})
        return SavedLatent.model_construct(path=str(save_once(ctx, prefix, SUFFIX, [data])[0]))


class LoadLatent(Node):
    """Read a file that SaveLatent wrote."""

    category = "comfyui/latent"
    persistent = False

    latent: str = Field(description="Path of the file, as for LoadImage.")

    def check(self, env: Environment) -> Iterable[Problem]:
        from run_graph.runtime.models.inspection import read_header

        if not isinstance(self.latent, str):
            return
        try:
            read_header(env.find_input(self.latent))
        except (OSError, ValueError) as error:
            yield Problem("latent", str(error), "Give the path of a .latent file.", found=self.latent)

    def fingerprint(self, env: Environment) -> Any:
        return digest(env.find_input(self.latent)) if isinstance(self.latent, str) else None

    def effects(self, env: Environment) -> Iterable[Effect]:
        if isinstance(self.latent, str):
            yield Effect("read", str(env.find_input(self.latent)), "latent")

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_files import read

        return Latents(latent=Latent(read(ctx.find_input(self.latent))))
