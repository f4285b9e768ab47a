"""Pictures: made, measured, picked from batches, cut, turned, and put beside one another."""

from __future__ import annotations

from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.images.choices import Colour, Direction
from run_graph.runtime.values import Image, Mask

MAX_SIDE = 16384
"""The longest side in pixels that ComfyUI's nodes accept."""

COLOUR_NUMBER = "65536 times red plus 256 times green plus blue, each 0 to 255."
"""What a colour is as a number."""


class Picture(Outputs):
    image: Image = Field(description="The pictures.")


class PictureSize(Outputs):
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    batch_size: int = Field(description="How many pictures.")


class PaddedPicture(Outputs):
    image: Image = Field(description="The larger picture.")
    mask: Mask = Field(description="1 where the picture was extended, 0 inside, with a soft edge between.")


class PictureGrid(Outputs):
    images: Image = Field(description="One picture with all of them.")


class EmptyImage(Node):
    """Make pictures of one colour."""

    category = "comfyui/image"
    persistent = False

    width: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    height: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    batch_size: int = Field(default=1, ge=1, le=4096, description="How many pictures.")
    color: int = Field(
        default=0,
        ge=0,
        le=0xFFFFFF,
        description=COLOUR_NUMBER,
    )

    def run(self, ctx: Context) -> Picture:
        import numpy as np

        from run_graph.runtime.images.room import require_room

        shape = (self.batch_size, self.height, self.width, 3)
        require_room(shape)
        colour = np.array([self.color >> 16, self.color >> 8 & 255, self.color & 255], np.uint8)
        return Picture(image=Image.from_comfyui(np.full(shape, colour, np.uint8)))


class GetImageSize(Node):
    """Tell the size of pictures and how many they are."""

    category = "comfyui/image"
    persistent = False

    image: Image = Field(description="The pictures.")

    def run(self, ctx: Context) -> PictureSize:
        batch, height, width, _ = self.image.shape
        return PictureSize(width=width, height=height, batch_size=batch)


class ImageBatch(Node):
    """Put two batches of pictures into one.

    Pictures of another size than the first are cut about their centre and resized (bilinear). If only one
    batch has an alpha channel, the other gets an opaque one.
    """

    category = "comfyui/image/batch"

    image1: Image = Field(description="The pictures that come first; they set the size.")
    image2: Image = Field(description="The pictures that follow.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.arranging import joined

        return Picture(image=Image.from_comfyui(joined(self.image1.pixels, self.image2.pixels)))


class RepeatImageBatch(Node):
    """Repeat a whole batch of pictures."""

    category = "comfyui/image/batch"

    image: Image = Field(description="The pictures.")
    amount: int = Field(default=1, ge=1, le=4096, description="How often the batch occurs in the result.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.batches import repeated

        samples = self.image.samples
        return Picture(image=Image.from_comfyui(repeated(samples, self.amount * len(samples))))


class ImageFromBatch(Node):
    """Pick some pictures of a batch."""

    category = "comfyui/image/batch"
    persistent = False

    image: Image = Field(description="The pictures.")
    batch_index: int = Field(
        default=0,
        ge=-MAX_SIDE,
        le=MAX_SIDE,
        description="The first picture to pick, counted from 0, or from the end if negative; one that does "
        "not exist becomes the nearest that does.",
    )
    length: int = Field(default=1, ge=1, le=4096, description="How many pictures, if there are as many.")

    def run(self, ctx: Context) -> Picture:
        count = len(self.image.samples)
        start = self.batch_index + count if self.batch_index < 0 else self.batch_index
        start = max(0, min(count - 1, start))
        picked = self.image.samples[start : start + self.length].copy()
        generation = self.image.generation
        return Picture(image=Image.from_comfyui(picked, generation and generation.of_picture(start)))


class ImageInvert(Node):
    """Turn every sample v into 1 - v, alpha included."""

    category = "comfyui/image/color"

    image: Image = Field(description="The pictures.")

    def run(self, ctx: Context) -> Picture:
        return Picture(image=Image.from_comfyui(1 - self.image.pixels, self.image.generation))


class ImageCrop(Node):
    """Cut a rectangle out of pictures; what of it lies outside is left out."""

    category = "comfyui/image/transform"

    image: Image = Field(description="The pictures.")
    width: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    height: int = Field(default=512, ge=1, le=MAX_SIDE, description="Pixels.")
    x: int = Field(default=0, ge=0, le=MAX_SIDE, description="The first column; at most the picture's last.")
    y: int = Field(default=0, ge=0, le=MAX_SIDE, description="The first row; at most the picture's last.")

    def run(self, ctx: Context) -> Picture:
        _, height, width, _ = self.image.shape
        x, y = min(self.x, width - 1), min(self.y, height - 1)
        part = self.image.samples[:, y : y + self.height, x : x + self.width].copy()
        return Picture(image=Image.from_comfyui(part, self.image.generation))


class ImagePadForOutpaint(Node):
    """Extend pictures by grey, and make the mask for a model that paints there."""

    category = "comfyui/image/transform"

    image: Image = Field(description="The pictures.")
    left: int = Field(default=0, ge=0, le=MAX_SIDE, description="Pixels to add on the left.")
    top: int = Field(default=0, ge=0, le=MAX_SIDE, description="Pixels to add above.")
    right: int = Field(default=0, ge=0, le=MAX_SIDE, description="Pixels to add on the right.")
    bottom: int = Field(default=0, ge=0, le=MAX_SIDE, description="Pixels to add below.")
    feathering: int = Field(
        default=40,
        ge=0,
        le=MAX_SIDE,
        description="How many pixels of the picture, along edges that are extended, the mask's soft edge "
        "takes; none if that were half of a side or more.",
    )

    def run(self, ctx: Context) -> PaddedPicture:
        from run_graph.runtime.images.arranging import extended
        from run_graph.runtime.images.masks import of_outpainting

        sides = (self.left, self.top, self.right, self.bottom)
        pixels = extended(self.image.pixels, *sides)
        mask = of_outpainting(*self.image.shape[1:3], *sides, self.feathering)
        return PaddedPicture(image=Image.from_comfyui(pixels, self.image.generation), mask=Mask(mask))


class ImageFlip(Node):
    """Mirror pictures."""

    category = "comfyui/image/transform"

    image: Image = Field(description="The pictures.")
    flip_method: Literal["x-axis: vertically", "y-axis: horizontally"] = Field(
        default="x-axis: vertically", description="About which axis: `x-axis` exchanges top and bottom."
    )

    def run(self, ctx: Context) -> Picture:
        import numpy as np

        flipped = np.flip(self.image.samples, 1 if self.flip_method.startswith("x") else 2)
        return Picture(image=Image.from_comfyui(flipped.copy(), self.image.generation))


class ImageRotate(Node):
    """Turn pictures clockwise."""

    category = "comfyui/image/transform"

    image: Image = Field(description="The pictures.")
    rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"] = Field(
        default="none", description="How far."
    )

    def run(self, ctx: Context) -> Picture:
        import numpy as np

        quarters = 0 if self.rotation == "none" else int(self.rotation.split()[0]) // 90
        turned = np.rot90(self.image.samples, quarters, axes=(2, 1))
        return Picture(image=Image.from_comfyui(turned.copy(), self.image.generation))


class ImageStitch(Node):
    """Put pictures beside others; without the second input, the first is passed on.

    A shorter batch goes on with its last picture. Where sizes are not matched, the smaller picture is centred
    on black, or on white if that is the colour.
    """

    category = "comfyui/image/transform"

    image1: Image = Field(description="The first pictures.")
    direction: Direction = Field(default="right", description="Where the second pictures go.")
    match_image_size: bool = Field(
        default=True, description="Whether the second pictures are resized (Lanczos) to fit the first."
    )
    spacing_width: int = Field(
        default=0, ge=0, le=1024, description="Pixels between them; an odd number becomes the next even one."
    )
    spacing_color: Colour = Field(default="white", description="The colour between them.")
    image2: Image | None = Field(default=None, description="The second pictures.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.arranging import stitched

        if self.image2 is None:
            return Picture(image=self.image1)
        pixels = stitched(
            self.image1.pixels,
            self.image2.pixels,
            self.direction,
            self.match_image_size,
            self.spacing_width,
            self.spacing_color,
        )
        return Picture(image=Image.from_comfyui(pixels))


class ImageGrid(Node):
    """Arrange a batch in rows on black, each picture resized (Lanczos) to a cell; alpha is dropped."""

    category = "comfyui/image/batch"

    images: Image = Field(description="The pictures, row by row.")
    columns: int = Field(default=4, ge=1, le=20, description="Pictures in a row.")
    cell_width: int = Field(default=256, ge=32, le=2048, description="Pixels.")
    cell_height: int = Field(default=256, ge=32, le=2048, description="Pixels.")
    padding: int = Field(default=4, ge=0, le=50, description="Pixels between cells.")

    def run(self, ctx: Context) -> PictureGrid:
        from run_graph.runtime.images.arranging import grid

        cells = (self.columns, self.cell_width, self.cell_height, self.padding)
        return PictureGrid(images=Image.from_comfyui(grid(self.images.samples, *cells)))
