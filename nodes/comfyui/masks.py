"""Masks: made, taken from pictures, changed and combined."""

from __future__ import annotations

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.pictures import COLOUR_NUMBER, MAX_SIDE, Picture
from run_graph.runtime.images.choices import Channel, MaskOperation
from run_graph.runtime.values import Image, Mask


class MaskOut(Outputs):
    mask: Mask = Field(description="The masks.")


class SolidMask(Node):
    """Make a mask of one value."""

    category = "comfyui/image/mask"
    persistent = False

    value: float = Field(default=1.0, ge=0, le=1, description="1 is masked.")
    width: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    height: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")

    def run(self, ctx: Context) -> MaskOut:
        import numpy as np

        from run_graph.runtime.images.room import require_room

        shape = (1, self.height, self.width)
        require_room(shape)
        return MaskOut(mask=Mask(np.full(shape, self.value, np.float32)))


class InvertMask(Node):
    """Turn every value v of masks into 1 - v."""

    category = "comfyui/image/mask"

    mask: Mask = Field(description="The masks.")

    def run(self, ctx: Context) -> MaskOut:
        return MaskOut(mask=Mask(1 - self.mask.values))


class GrowMask(Node):
    """Grow or shrink the masked part of masks; soft masks keep their greys."""

    category = "comfyui/image/mask"

    mask: Mask = Field(description="The masks.")
    expand: int = Field(
        default=0, ge=-MAX_SIDE, le=MAX_SIDE, description="Pixels to grow by; a negative number shrinks."
    )
    tapered_corners: bool = Field(
        default=True, description="Whether it grows into a diamond shape rather than a square."
    )

    def run(self, ctx: Context) -> MaskOut:
        from run_graph.runtime.images.masks import grown

        return MaskOut(mask=Mask(grown(self.mask.values, self.expand, self.tapered_corners)))


class FeatherMask(Node):
    """Make masks fade out towards their edges."""

    category = "comfyui/image/mask"

    mask: Mask = Field(description="The masks.")
    left: int = Field(default=0, ge=0, le=MAX_SIDE, description="Over how many pixels at the left edge.")
    top: int = Field(default=0, ge=0, le=MAX_SIDE, description="Over how many pixels at the upper edge.")
    right: int = Field(default=0, ge=0, le=MAX_SIDE, description="Over how many pixels at the right edge.")
    bottom: int = Field(default=0, ge=0, le=MAX_SIDE, description="Over how many pixels at the lower edge.")

    def run(self, ctx: Context) -> MaskOut:
        from run_graph.runtime.images.masks import feathered

        sides = (self.left, self.top, self.right, self.bottom)
        return MaskOut(mask=Mask(feathered(self.mask.values, *sides)))


class CropMask(Node):
    """Cut a rectangle out of masks; what of it lies outside is left out."""

    category = "comfyui/image/mask"

    mask: Mask = Field(description="The masks.")
    x: int = Field(default=0, ge=0, le=MAX_SIDE, description="The first column.")
    y: int = Field(default=0, ge=0, le=MAX_SIDE, description="The first row.")
    width: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    height: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")

    def run(self, ctx: Context) -> MaskOut:
        _, height, width = self.mask.values.shape
        if self.x >= width or self.y >= height:
            raise ValueError(
                f"the rectangle begins at column {self.x} and row {self.y}, outside a mask of "
                f"{width} x {height} pixels; lower x and y"
            )
        part = self.mask.values[:, self.y : self.y + self.height, self.x : self.x + self.width]
        return MaskOut(mask=Mask(part.copy()))


class ThresholdMask(Node):
    """Make masks hard: 1 above a value, else 0."""

    category = "comfyui/image/mask"

    mask: Mask = Field(description="The masks.")
    value: float = Field(default=0.5, ge=0, le=1, description="What a masked pixel exceeds.")

    def run(self, ctx: Context) -> MaskOut:
        import numpy as np

        return MaskOut(mask=Mask((self.mask.values > np.float32(self.value)).astype(np.float32)))


class MaskComposite(Node):
    """Combine masks with others that are laid over them, and clip the result to 0..1."""

    category = "comfyui/image/mask"

    destination: Mask = Field(description="The masks below.")
    source: Mask = Field(description="The masks above, as many or one; what does not fit is left out.")
    x: int = Field(default=0, ge=0, le=MAX_SIDE, description="The column below of the source's first column.")
    y: int = Field(default=0, ge=0, le=MAX_SIDE, description="The row below of the source's first row.")
    operation: MaskOperation = Field(
        default="multiply",
        description="What becomes of two values; `and`, `or` and `xor` round both to 0 or 1 first.",
    )

    def run(self, ctx: Context) -> MaskOut:
        from run_graph.runtime.images.masks import combined

        place = (self.x, self.y)
        values = combined(self.destination.values, self.source.values, *place, self.operation)
        return MaskOut(mask=Mask(values))


class MaskToImage(Node):
    """Show masks as grey pictures: masked is white."""

    category = "comfyui/image/mask"

    mask: Mask = Field(description="The masks.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.masks import as_picture

        return Picture(image=Image.from_comfyui(as_picture(self.mask.values)))


class ImageToMask(Node):
    """Use a channel of pictures as masks."""

    category = "comfyui/image/mask"

    image: Image = Field(description="The pictures.")
    channel: Channel = Field(default="red", description="Which one; alpha is taken as it is, 1 where opaque.")

    def run(self, ctx: Context) -> MaskOut:
        from run_graph.runtime.images.masks import of_channel

        return MaskOut(mask=Mask(of_channel(self.image.samples, self.channel)))


class ImageColorToMask(Node):
    """Make masks that are 1 where pictures, rounded to 8 bits, have one colour."""

    category = "comfyui/image/mask"

    image: Image = Field(description="The pictures.")
    color: int = Field(
        default=0,
        ge=0,
        le=0xFFFFFF,
        description=COLOUR_NUMBER,
    )

    def run(self, ctx: Context) -> MaskOut:
        from run_graph.runtime.images.masks import of_colour

        return MaskOut(mask=Mask(of_colour(self.image.samples, self.color)))
