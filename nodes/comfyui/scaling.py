"""Pictures in another size. Only `lanczos` antialiases; the other methods are torch's `interpolate`."""

from __future__ import annotations

from typing import Literal

from run_graph.graph import Context, Field, Node
from run_graph.nodes.comfyui.pictures import MAX_SIDE, Picture
from run_graph.runtime.images.choices import Crop, Method
from run_graph.runtime.values import Image

_METHOD = "How samples are computed; `area` averages, `lanczos` works on 8-bit samples."


def _scaled(image: Image, size: tuple[int, int], method: Method, crop: Crop = "disabled") -> Picture:
    from run_graph.runtime.images.resizing import scaled

    return Picture(image=Image.from_comfyui(scaled(image.samples, *size, method, crop), image.generation))


def _size(image: Image) -> tuple[int, int]:
    _, height, width, _ = image.shape
    return width, height


class ImageScale(Node):
    """Resize pictures to a width and a height."""

    category = "comfyui/image/upscaling"

    image: Image = Field(description="The pictures.")
    upscale_method: Method = Field(default="nearest-exact", description=_METHOD)
    width: int = Field(default=512, ge=0, le=MAX_SIDE, description="Pixels; 0 keeps the ratio of the sides.")
    height: int = Field(default=512, ge=0, le=MAX_SIDE, description="Pixels; 0 keeps the ratio of the sides.")
    crop: Crop = Field(
        default="disabled", description="`center` first cuts pictures about their centre to the new ratio."
    )

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.resizing import given_or_kept

        if self.width == self.height == 0:
            return Picture(image=self.image)
        size = given_or_kept(_size(self.image), self.width, self.height)
        return _scaled(self.image, size, self.upscale_method, self.crop)


class ImageScaleBy(Node):
    """Resize pictures by a factor."""

    category = "comfyui/image/upscaling"

    image: Image = Field(description="The pictures.")
    upscale_method: Method = Field(default="nearest-exact", description=_METHOD)
    scale_by: float = Field(default=1.0, ge=0.01, le=8, description="What both sides are multiplied by.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.resizing import times

        return _scaled(self.image, times(_size(self.image), self.scale_by), self.upscale_method)


class ImageScaleToTotalPixels(Node):
    """Resize pictures to a number of pixels, keeping the ratio of their sides as nearly as possible."""

    category = "comfyui/image/upscaling"

    image: Image = Field(description="The pictures.")
    upscale_method: Method = Field(default="nearest-exact", description=_METHOD)
    megapixels: float = Field(default=1.0, ge=0.01, le=16, description="Units of 1024 x 1024 pixels.")
    resolution_steps: int = Field(default=1, ge=1, le=256, description="Both sides become multiples of this.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.resizing import of_megapixels

        size = of_megapixels(_size(self.image), self.megapixels, self.resolution_steps)
        return _scaled(self.image, size, self.upscale_method)


class ImageScaleToMaxDimension(Node):
    """Resize pictures so that their longer side has a given length."""

    category = "comfyui/image/upscaling"

    image: Image = Field(description="The pictures.")
    upscale_method: Literal["area", "lanczos", "bilinear", "nearest-exact", "bicubic"] = Field(
        default="area", description=_METHOD
    )
    largest_size: int = Field(default=512, ge=0, le=MAX_SIDE, description="Pixels.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.resizing import of_longest_side

        size = of_longest_side(_size(self.image), self.largest_size)
        return _scaled(self.image, size, self.upscale_method)


class ResizeAndPadImage(Node):
    """Resize whole pictures into a rectangle, centred, with a plain colour around them."""

    category = "comfyui/image/transform"

    image: Image = Field(description="The pictures.")
    target_width: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    target_height: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    padding_color: Literal["white", "black"] = Field(
        default="white", description="The colour around the picture; of an alpha channel, 1 or 0."
    )
    interpolation: Literal["area", "bicubic", "nearest-exact", "bilinear", "lanczos"] = Field(
        default="area", description=_METHOD
    )

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.resizing import fitted

        grey = 1.0 if self.padding_color == "white" else 0.0
        size = (self.target_width, self.target_height)
        pixels = fitted(self.image.samples, *size, self.interpolation, grey)
        return Picture(image=Image.from_comfyui(pixels, self.image.generation))


class FluxKontextImageScale(Node):
    """Resize pictures (Lanczos) to one of the 17 sizes that FLUX.1 Kontext was trained on.

    It is the one with the most similar ratio of the sides; what exceeds it is cut off about the centre.
    """

    category = "comfyui/flux"

    image: Image = Field(description="The pictures.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.resizing import for_kontext

        return _scaled(self.image, for_kontext(_size(self.image)), "lanczos", "center")
