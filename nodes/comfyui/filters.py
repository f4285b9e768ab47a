"""Pictures blurred and sharpened."""

from __future__ import annotations

from run_graph.graph import Context, Field, Node
from run_graph.nodes.comfyui.pictures import Picture
from run_graph.runtime.values import Image

_SIGMA = "Standard deviation of the Gaussian, in units of the radius."


class ImageBlur(Node):
    """Blur pictures with a Gaussian kernel; they are mirrored beyond their edges."""

    category = "comfyui/image/filters"

    image: Image = Field(description="The pictures.")
    blur_radius: int = Field(
        default=1, ge=1, le=31, description="Pixels from the kernel's centre to its rim."
    )
    sigma: float = Field(default=1.0, ge=0.1, le=10, description=_SIGMA)

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.filters import blurred

        pixels = blurred(self.image.pixels, self.blur_radius, self.sigma)
        return Picture(image=Image.from_comfyui(pixels, self.image.generation))


class ImageSharpen(Node):
    """Sharpen pictures: their difference from a blurred copy is added to them."""

    category = "comfyui/image/filters"

    image: Image = Field(description="The pictures.")
    sharpen_radius: int = Field(
        default=1, ge=1, le=31, description="Pixels from the kernel's centre to its rim."
    )
    sigma: float = Field(default=1.0, ge=0.1, le=10, description=_SIGMA)
    alpha: float = Field(default=1.0, ge=0, le=5, description="A tenth of how often the difference is added.")

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.images.filters import sharpened

        pixels = sharpened(self.image.pixels, self.sharpen_radius, self.sigma, self.alpha)
        return Picture(image=Image.from_comfyui(pixels, self.image.generation))
