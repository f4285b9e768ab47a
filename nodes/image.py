"""Pictures in and out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from run_graph.graph import Context, Environment, Field, Node, Outputs, Problem
from run_graph.graph.workflow import Workflow
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.inputs import digest
from run_graph.runtime.files.outputs import folder_fault, prefix_folder
from run_graph.runtime.files.prefix_tokens import expand_tokens
from run_graph.runtime.files.save_once import save_once
from run_graph.runtime.images.metadata import as_text, generation_settings, picture_metadata
from run_graph.runtime.values import Image, Mask


class LoadedImage(Outputs):
    image: Image = Field(description="The picture; EXIF orientation applied, transparency laid over white.")
    mask: Mask = Field(description="1 where the file is transparent, else 0.")


class LoadImage(Node):
    """Read a picture file.

    A relative path is sought beside the workflow file first, then in the working directory. PNG, JPEG,
    WebP, TIFF, GIF (first frame) and other formats that Pillow reads; at most 178 megapixels.
    """

    category = "image"
    persistent = False

    image: str = Field(description="Path of the picture.", json_schema_extra={"image_upload": True})

    def check(self, env: Environment) -> Iterable[Problem]:
        from run_graph.runtime.images.codec import check

        if not isinstance(self.image, str):
            return
        try:
            fault = check(env.find_input(self.image))
        except OSError as error:
            yield Problem("image", str(error), "Give the path of a picture.")
            return
        if fault is not None:
            yield Problem("image", fault, "Give another picture.")

    def fingerprint(self, env: Environment) -> Any:
        # A path that a link delivers is not known yet; the source's own key stands for it.
        return digest(env.find_input(self.image)) if isinstance(self.image, str) else None

    def run(self, ctx: Context) -> LoadedImage:
        from run_graph.runtime.images.codec import load

        pixels, mask = load(ctx.find_input(self.image))
        return LoadedImage(image=Image(pixels, source=self.image), mask=Mask(mask))


class SavedImage(Outputs):
    path: str = Field(description="The file written; the first one, if the image is a batch.")


class SaveImage(Node):
    """Write a picture as PNG into the output folder, with the whole graph in its metadata.

    The file is called `<prefix>_<00001>_.png`, numbered on from what is there; nothing is ever
    overwritten. Each picture of a batch gets a file of its own, which tells its own seed. A file carries
    `prompt`, the graph as run in ComfyUI's API format, and `run_graph`, the settings and timings as JSON,
    which is also its EXIF comment as mflux writes it. `run-graph FILE.png` runs it again.
    """

    category = "image"
    is_output = True
    runs_in_background = True

    image: Image = Field(description="The picture to save.")
    filename_prefix: str = Field(
        default="run-graph",
        description="Start of the file name; may name subfolders (`portraits/anna`) and hold `%width%`, "
        "`%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%`.",
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        folder = env.output_directory
        if isinstance(self.filename_prefix, str):  # not a link
            try:
                folder = prefix_folder(folder, self.filename_prefix)
            except SaveError as error:
                yield Problem("filename_prefix", str(error), "Name a place inside the output folder.")
        fault = folder_fault(folder)
        if fault is not None:
            yield Problem("filename_prefix", fault, "Choose another output folder (--output).")

    def fingerprint(self, env: Environment) -> Any:
        return os.path.abspath(env.output_directory)  # a picture in another folder does not serve

    def is_still_valid(self, outputs: SavedImage) -> bool:
        return os.path.isfile(outputs.path)

    def run(self, ctx: Context) -> SavedImage:
        from run_graph.runtime.images.codec import to_png
        from run_graph.runtime.images.exif import mflux_comment

        _, height, width, _ = self.image.pixels.shape
        prefix = expand_tokens(self.filename_prefix, width=width, height=height)
        folder = prefix_folder(ctx.output_directory, prefix)
        provenance, pictures = ctx.provenance(), []
        differences = _not_in_settings(self.image, provenance)
        for index, pixels in enumerate(self.image.pixels):
            settings = picture_metadata(self.image, provenance, folder, index, differences)
            pictures.append(to_png(pixels, as_text(settings), mflux_comment(settings["run_graph"])))
        return SavedImage(path=str(save_once(ctx, prefix, ".png", pictures)[0]))


def _not_in_settings(image: Image, provenance: Mapping[str, Any]) -> list[str]:
    """What of the graph that made a picture its settings cannot express."""
    if image.generation is None:
        return []
    from run_graph.runtime.formats.mflux.coverage import not_in_settings

    graph = provenance["prompt"]
    saved = Workflow.from_json({"": graph[provenance["node_id"]]}).nodes[""].inputs["image"]
    return not_in_settings(graph, saved, generation_settings(image.generation))
