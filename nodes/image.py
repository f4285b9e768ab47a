"""Pictures in and out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from run_graph.graph import Context, Environment, Field, Node, Outputs, Problem
from run_graph.graph.workflow import Workflow
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.outputs import folder_fault, prefix_folder
from run_graph.runtime.files.prefix_tokens import expand_tokens, token_fault
from run_graph.runtime.files.save_once import save_once
from run_graph.runtime.generation import Background, Frames, PictureFile
from run_graph.runtime.images.metadata import as_text, generation_settings, picture_metadata
from run_graph.runtime.values import Image, Mask


class LoadedImage(Outputs):
    image: Image = Field(description="The picture, or a batch of its frames; EXIF orientation applied.")
    mask: Mask = Field(
        description="1 where the file is transparent, else 0; 64 x 64 zeros if it has no transparency."
    )


class LoadImage(Node):
    """Read a picture file.

    A relative path is searched for beside the workflow file first, then in the working directory. PNG, JPEG,
    WebP, TIFF, GIF and other formats that Pillow reads are accepted; at most 178 megapixels, all frames
    together.
    """

    category = "image"
    persistent = False

    image: str = Field(description="Path of the picture.", json_schema_extra={"image_upload": True})
    background: Background = Field(
        default="none",
        description="Colour that transparency is laid over; `none` keeps colours as stored, as ComfyUI does.",
    )
    frames: Frames = Field(
        default="all", description="Whether an animation becomes a batch of all its frames, or its first."
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        from run_graph.runtime.images.codec import check

        if not isinstance(self.image, str):
            return
        try:
            # A choice that a link delivers is not known yet; one frame is read in any case.
            fault = check(env.find_input(self.image), "all" if self.frames == "all" else "first")
        except OSError as error:
            yield Problem("image", str(error), "Give the path of a picture.")
            return
        if fault is not None:
            yield Problem("image", fault, "Give another picture.")

    def fingerprint(self, env: Environment) -> Any:
        # A path that a link delivers is not known yet: such a result is not kept.
        return env.digest_of_input(self.image) if isinstance(self.image, str) else None

    def run(self, ctx: Context) -> LoadedImage:
        from run_graph.runtime.images.codec import load

        path, content = ctx.find_input(self.image), ctx.read_input(self.image)
        pixels, mask = load(path, self.background, self.frames, content)
        source = PictureFile(self.image, self.background, self.frames)
        return LoadedImage(image=Image.from_file(pixels, source), mask=Mask(mask))


class SavedImage(Outputs):
    images: Image = Field(
        description="The pictures that were given, unchanged.", json_schema_extra={"forwards": "images"}
    )
    path: str = Field(description="The file written; for a batch, the first file.")


class SaveImage(Node):
    """Write pictures as PNG files into the output folder, with the whole graph in their metadata.

    A file is called `<prefix>_<00001>_.png`; numbers continue after the highest in the folder, and nothing
    is ever overwritten. Each picture of a batch gets its own file, which records its own seed. Samples are
    rounded to 8 bits. A file carries `prompt`, the graph as run in ComfyUI's API format, and `run_graph`, the
    settings and timings as JSON, which is also its EXIF comment in mflux's form. `run-graph FILE.png` runs it
    again.
    """

    category = "image"
    is_output = True
    runs_in_background = True

    images: Image = Field(description="The pictures to save.")
    filename_prefix: str = Field(
        default="ComfyUI",
        description="Start of the file name; may name subfolders (`portraits/anna`) and contain `%width%`, "
        "`%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%`, `%date:yyyy-MM-dd%` and "
        "`%node.input%`, the value of a node's input.",
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        folder = env.output_directory
        if isinstance(self.filename_prefix, str):  # not a link
            try:
                folder = prefix_folder(folder, self.filename_prefix)
            except SaveError as error:
                yield Problem("filename_prefix", str(error), "Name a place inside the output folder.")
            if fault := token_fault(self.filename_prefix):
                yield Problem("filename_prefix", fault, "Correct the token, or leave out the percent signs.")
        fault = folder_fault(folder)
        if fault is not None:
            yield Problem("filename_prefix", fault, "Choose another output folder (--output).")

    def fingerprint(self, env: Environment) -> Any:
        return os.path.abspath(env.output_directory)  # a file in another folder is no substitute

    def is_still_valid(self, outputs: SavedImage) -> bool:
        return os.path.isfile(outputs.path)

    def run(self, ctx: Context) -> SavedImage:
        from run_graph.runtime.images.codec import to_png
        from run_graph.runtime.images.exif import mflux_comment

        _, height, width, _ = self.images.pixels.shape
        for warning in self.images.generation.warnings if self.images.generation else ():
            ctx.warn(warning)  # again, since the node that found it may not have run this time
        provenance, pictures = ctx.provenance(), []
        graph = provenance["prompt"]
        prefix = expand_tokens(self.filename_prefix, width=width, height=height, graph=graph)
        folder = prefix_folder(ctx.output_directory, prefix)
        differences = _not_in_settings(self.images, provenance)
        for index, pixels in enumerate(self.images.pixels):
            settings = picture_metadata(self.images, provenance, folder, index, differences)
            pictures.append(to_png(pixels, as_text(settings), mflux_comment(settings["run_graph"])))
        path = save_once(ctx, prefix, ".png", pictures)[0]
        return SavedImage.model_construct(path=str(path))  # a forwarded output is not part of the result


def _not_in_settings(image: Image, provenance: Mapping[str, Any]) -> list[str]:
    """What of the graph that made a picture its settings cannot express."""
    if image.generation is None:
        return []
    from run_graph.runtime.formats.mflux.coverage import not_in_settings

    graph = provenance["prompt"]
    saved = Workflow.from_json({"": graph[provenance["node_id"]]}).nodes[""].inputs["images"]
    return not_in_settings(graph, saved, generation_settings(image.generation))
