"""Pictures laid over one another, and their alpha channels."""

from __future__ import annotations

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.pictures import MAX_SIDE, Picture
from run_graph.runtime.images.choices import BlendMode
from run_graph.runtime.values import Image, Mask


class ColoursAndMask(Outputs):
    image: Image = Field(description="The colours without the alpha channel.")
    mask: Mask = Field(description="1 where the picture is transparent; 0 without an alpha channel.")


class ImageBlend(Node):
    """Mix pictures with others.

    Others of another size are cut about their centre and resized (bicubic). They get or lose an alpha channel
    like the first ones', which is mixed like a colour.
    """

    category = "comfyui/image/filters"

    image1: Image = Field(description="The pictures below.")
    image2: Image = Field(description="The pictures above: as many as below, or one.")
    blend_factor: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="How much of the mixture is taken; the rest is the first pictures.",
    )
    blend_mode: BlendMode = Field(
        default="normal",
        description="How samples are mixed, as in other programs; `difference` subtracts the second, and "
        "what is below 0 becomes 0.",
    )

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.compositing import blended

        pixels = blended(self.image1.pixels, self.image2.pixels, self.blend_factor, self.blend_mode)
        return Picture(image=Image.from_comfyui(pixels))


class ImageCompositeMasked(Node):
    """Lay pictures over others; what does not fit is left out."""

    category = "comfyui/image/compositing"

    destination: Image = Field(description="The pictures below; they set the number and the channels.")
    source: Image = Field(description="The pictures above; a short batch starts again, a long one is cut.")
    x: int = Field(default=0, ge=0, le=MAX_SIDE, description="The column below of the source's first column.")
    y: int = Field(default=0, ge=0, le=MAX_SIDE, description="The row below of the source's first row.")
    resize_source: bool = Field(
        default=False, description="Whether the source is first resized (bilinear) to the destination's size."
    )
    mask: Mask | None = Field(
        default=None,
        description="How much of the source is seen, resized (bilinear) to it; all of it without a mask.",
    )

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.batches import with_channels
        from run_graph.runtime.images.compositing import composited

        below = self.destination.pixels
        above = with_channels(self.source.pixels, below.shape[3])
        mask = None if self.mask is None else self.mask.values
        pixels = composited(below, above, self.x, self.y, mask, self.resize_source)
        return Picture(image=Image.from_comfyui(pixels))


class JoinImageWithAlpha(Node):
    """Give pictures an alpha channel; one that they have is replaced."""

    category = "comfyui/image/compositing"

    image: Image = Field(description="The pictures.")
    alpha: Mask = Field(description="1 where they become transparent; resized (bilinear) to the pictures.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.compositing import with_alpha

        pixels = with_alpha(self.image.pixels, self.alpha.values)
        return Picture(image=Image.from_comfyui(pixels, self.image.generation))


class SplitImageWithAlpha(Node):
    """Take the alpha channel off pictures."""

    category = "comfyui/image/compositing"

    image: Image = Field(description="The pictures.")

    def run(self, ctx: Context) -> ColoursAndMask:
        from run_graph.runtime.images.batches import with_channels

        alpha = with_channels(self.image.pixels, 4)[..., 3]
        colours = Image.from_comfyui(self.image.samples[..., :3].copy(), self.image.generation)
        return ColoursAndMask(image=colours, mask=Mask(1 - alpha))
