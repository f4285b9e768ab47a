"""Pictures in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.graph.declaration import ADDED
from run_graph.nodes.saving import PATHS, PictureWriter, describer, encoded, expanded, written
from run_graph.runtime.files.save_once import save_once
from run_graph.runtime.generation import Background, Frames, PictureFile
from run_graph.runtime.images.formats import MetadataKept, SavedFormat, suffix_of
from run_graph.runtime.values import Image, Mask


class LoadedImage(Outputs):
    image: Image = Field(description="The picture, or a batch of its frames; EXIF orientation applied.")
    mask: Mask = Field(
        description="1 where the file is transparent, else 0; 64 x 64 zeros if it has no transparency."
    )


class LoadImage(Node):
    """Read a picture file.

    A relative path is searched for beside the workflow file first, then in the working directory. PNG, JPEG,
    WebP, AVIF, TIFF, GIF and other formats that Pillow reads are accepted, and HEIC with the package
    pillow-heif (`uv sync --extra heic`); at most 178 megapixels, all frames together. An embedded colour
    profile is applied.
    """

    category = "image"
    persistent = False

    image: str = Field(description="Path of the picture.", json_schema_extra={"image_upload": True})
    background: Background = Field(
        default="none",
        description="Colour that transparency is laid over; `none` keeps colours as stored, as ComfyUI does.",
        json_schema_extra=ADDED,
    )
    frames: Frames = Field(
        default="all",
        description="Whether an animation becomes a batch of all its frames, or its first.",
        json_schema_extra=ADDED,
    )

    def name_of_file(self, env: Environment) -> str:
        """The picture's file, as `env.find_input` takes it."""
        return self.image

    def find(self, env: Environment) -> Path:
        """The picture's file. Raises OSError if it is not there or may not be read."""
        return env.find_input(self.name_of_file(env))

    def check(self, env: Environment) -> Iterable[Problem]:
        # A choice that a link delivers is not known yet; one frame is read in any case.
        if isinstance(self.image, str):
            yield from unreadable(partial(self.find, env), "all" if self.frames == "all" else "first")

    def fingerprint(self, env: Environment) -> Any:
        # A path that a link delivers is not known yet: such a result is not kept.
        return env.digest_of_input(self.name_of_file(env)) if isinstance(self.image, str) else None

    def effects(self, env: Environment) -> Iterable[Effect]:
        if isinstance(self.image, str):
            yield Effect("read", str(self.find(env)), "image")

    def run(self, ctx: Context) -> LoadedImage:
        from run_graph.runtime.images.reading import read

        content = ctx.read_input(self.name_of_file(ctx))
        samples, mask = read(self.find(ctx), self.background, self.frames, content)
        source = PictureFile(self.image, self.background, self.frames)
        return LoadedImage(image=Image.from_file(samples, source), mask=Mask(mask))


def unreadable(find: Callable[[], Path], frames: Frames = "all") -> Iterator[Problem]:
    """What keeps the picture file in the input `image` from being read; `find` finds it."""
    from run_graph.runtime.images.reading import check

    try:
        fault = check(find(), frames)
    except OSError as error:
        yield Problem("image", str(error), "Give the path of a picture.")
        return
    if fault is not None:
        yield Problem("image", fault, "Give another picture.")


class SavedImage(Outputs):
    images: Image = Field(
        description="The pictures that were given, unchanged.", json_schema_extra={"forwards": "images"}
    )
    path: str = Field(description="The file written; for a batch, the first file.")
    paths: Any = PATHS


class SaveImage(PictureWriter, Node):
    """Write pictures into the output folder, with the whole graph in their metadata.

    A file is called `<prefix>_<00001>_.png`; numbers continue after the highest in the folder, and nothing
    is ever overwritten. Each picture of a batch gets its own file, which records its own seed. Samples are
    rounded to 8 bits, as mflux does; what one of ComfyUI's nodes computed is cut instead, as ComfyUI does. An
    alpha channel is kept, except in JPEG. A file carries `prompt`, the graph as run in ComfyUI's API format,
    `workflow`, the same for ComfyUI's editor, and `run_graph`, the settings and timings as JSON, which are
    also its EXIF comment in mflux's form. Formats other than PNG carry them as EXIF. `run-graph FILE` runs a
    file's graph again. Paths are recorded relative to the input folders or to the home folder, never as
    absolute paths.
    """

    category = "image"

    images: Image = Field(description="The pictures to save.")
    filename_prefix: str = Field(
        default="ComfyUI",
        description="Start of the file name; may name subfolders (`portraits/anna`) and contain `%width%`, "
        "`%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%`, `%date:yyyy-MM-dd%` and "
        "`%node.input%`, the value of a node's input.",
    )
    format: SavedFormat = Field(default="png", description="The file format.", json_schema_extra=ADDED)
    quality: int = Field(
        default=90,
        ge=1,
        le=100,
        description="For jpeg, webp (lossless at 100) and avif; png has no loss.",
        json_schema_extra=ADDED,
    )
    metadata: MetadataKept = Field(
        default="all",
        description="What files say about themselves: graph and settings, only the settings, or nothing.",
        json_schema_extra=ADDED,
    )

    def run(self, ctx: Context) -> SavedImage:
        prefix = expanded(ctx, self.images, self.filename_prefix)
        describe = describer(ctx, self.images, prefix, self.metadata)
        pictures = encoded(ctx, self.images, describe, self.format, self.quality)
        paths = save_once(ctx, prefix, suffix_of(self.format), pictures)
        return SavedImage.model_construct(**written(paths))  # a forwarded output is not part of the result
