"""Pictures from files and into files, other than by LoadImage and SaveImage.

ComfyUI shows previews in the browser and deletes their files when it starts again. Here they stay: they go
into the folder `preview` of the output folder, with the whole graph in them, like saved pictures.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.nodes.image import LoadImage, SavedImage, unreadable
from run_graph.nodes.saving import (
    PATHS,
    PictureWriter,
    describer,
    expanded,
    repeat_warnings,
    save_previews,
    written,
)
from run_graph.runtime.files.save_once import save_once
from run_graph.runtime.images.sending import PictureReceiver
from run_graph.runtime.values import Image, Mask

_IN_OUTPUT = " [output]"


class LoadedMask(Outputs):
    mask: Mask = Field(description="The masks, one for each frame.")


class PreviewedMask(Outputs):
    mask: Mask = Field(
        description="The masks that were given, unchanged.", json_schema_extra={"forwards": "mask"}
    )
    path: str = Field(description="The file written; for a batch, the first file.")
    paths: Any = PATHS


class Compared(Outputs):
    path: str = Field(description="The first file written; empty if no picture was given.")
    paths: Any = PATHS


class Nothing(Outputs):
    """No outputs."""


class LoadImageMask(Node):
    """Read a channel of a picture file as a mask."""

    category = "comfyui/image"
    persistent = False

    image: str = Field(
        description="Path of the picture, as for LoadImage.", json_schema_extra={"image_upload": True}
    )
    channel: Literal["alpha", "red", "green", "blue"] = Field(
        default="alpha",
        description="Which one; alpha is inverted: 1 is transparent. Without one the mask is 64 x 64 zeros.",
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        if isinstance(self.image, str):
            yield from unreadable(partial(env.find_input, self.image))

    def fingerprint(self, env: Environment) -> Any:
        return env.digest_of_input(self.image) if isinstance(self.image, str) else None

    def effects(self, env: Environment) -> Iterable[Effect]:
        if isinstance(self.image, str):
            yield Effect("read", str(env.find_input(self.image)), "image")

    def run(self, ctx: Context) -> LoadedMask:
        from run_graph.runtime.images.masks import of_channel
        from run_graph.runtime.images.reading import read

        samples, transparent = read(ctx.find_input(self.image), content=ctx.read_input(self.image))
        values = transparent if self.channel == "alpha" else of_channel(samples, self.channel)
        return LoadedMask(mask=Mask(values))


class LoadImageOutput(LoadImage):
    """Read a picture file from the output folder; otherwise like LoadImage."""

    category = "comfyui/image"

    image: str = Field(
        description="Path of the picture within the output folder; ` [output]` at its end is left out.",
        json_schema_extra={"image_upload": True},
    )

    def name_of_file(self, env: Environment) -> str:
        return os.path.abspath(env.output_directory / self.image.removesuffix(_IN_OUTPUT))


class PreviewImage(PictureWriter, Node):
    """Write pictures into the folder `preview` of the output folder, with the whole graph in their metadata.

    The files are called `ComfyUI_<00001>_.png` and nothing is overwritten. Nothing deletes them.
    """

    category = "comfyui/image"
    images: Image = Field(description="The pictures to look at.")

    def run(self, ctx: Context) -> SavedImage:
        return SavedImage.model_construct(**written(save_previews(ctx, images=self.images)))


class MaskPreview(PictureWriter, Node):
    """Write masks as grey pictures, masked is white, as PreviewImage writes pictures."""

    category = "comfyui/image/mask"
    mask: Mask = Field(description="The masks to look at.")

    def run(self, ctx: Context) -> PreviewedMask:
        from run_graph.runtime.images.masks import as_picture

        pictures = Image.from_comfyui(as_picture(self.mask.values))
        return PreviewedMask.model_construct(**written(save_previews(ctx, mask=pictures)))


class ImageCompare(PictureWriter, Node):
    """Write two pictures, or batches, as PreviewImage writes pictures; ComfyUI shows them under a slider."""

    category = "comfyui/image"
    compare_view: Any = Field(default=None, description="What the editor keeps of its slider; has no effect.")
    image_a: Image | None = Field(default=None, description="The first pictures.")
    image_b: Image | None = Field(default=None, description="The second pictures.")

    def run(self, ctx: Context) -> Compared:
        both = {"image_a": self.image_a, "image_b": self.image_b}
        paths = save_previews(ctx, **{name: images for name, images in both.items() if images is not None})
        return Compared(**written(paths))


class SaveImageWebsocket(Node):
    """Send pictures to the client program that asked for them, as PNG, without writing them.

    That is what `run-graph serve` does. Anywhere else nobody waits for them, which is a warning.
    """

    category = "comfyui/image"
    is_output = True
    persistent = False

    images: Image = Field(description="The pictures.")

    def fingerprint(self, env: Environment) -> Any:
        return secrets.token_hex()  # they are sent each time

    def run(self, ctx: Context) -> Nothing:
        from run_graph.runtime.images.writing import encode

        receiver = ctx.service(PictureReceiver)
        if receiver.send is None:
            ctx.warn(
                "SaveImageWebsocket wrote nothing: it is for clients of run-graph serve; use SaveImage to "
                "keep the pictures"
            )
            return Nothing()
        count = self.images.shape[0]
        for index in range(count):
            receiver.send(ctx.node_id, encode(self.images.eight_bit(index), "png", {}).data)
            ctx.progress(index + 1, count)
        return Nothing()


class SaveAnimatedWEBP(PictureWriter, Node):
    """Write a batch of pictures as the frames of an endless animation, with the whole graph in its metadata.

    The file is called `<prefix>_<00001>_.webp`; numbers continue after the highest in the folder.
    """

    category = "comfyui/image"
    images: Image = Field(description="The frames.")
    filename_prefix: str = Field(default="ComfyUI", description="Start of the file name, as for SaveImage.")
    fps: float = Field(default=6.0, ge=0.01, le=1000, description="Frames a second, in whole milliseconds.")
    lossless: bool = Field(default=True, description="Whether nothing is lost.")
    quality: int = Field(default=80, ge=0, le=100, description="If lossless, how hard the encoder tries.")
    method: Literal["default", "fastest", "slowest"] = Field(
        default="default", description="The slower, the smaller the file."
    )

    def run(self, ctx: Context) -> SavedImage:
        from run_graph.runtime.images.writing import animation

        repeat_warnings(ctx, self.images)
        prefix = expanded(ctx, self.images, self.filename_prefix)
        data = animation(
            [self.images.eight_bit(index) for index in range(self.images.shape[0])],
            describer(ctx, self.images, prefix)(0),
            milliseconds=int(1000 / self.fps),
            lossless=self.lossless,
            quality=self.quality,
            effort={"default": 4, "fastest": 0, "slowest": 6}[self.method],
        )
        return SavedImage.model_construct(**written(save_once(ctx, prefix, ".webp", [data])))
