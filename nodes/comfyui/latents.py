"""Latent pictures: made, masked, resized, cut and turned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.pictures import MAX_SIDE
from run_graph.runtime.images.choices import Crop, LatentMethod
from run_graph.runtime.values import Latent, Mask

if TYPE_CHECKING:
    from run_graph.runtime.sampling.latent_operations import Array

_METHOD = "How values are computed; `bislerp` keeps the strength of what it mixes."


class Latents(Outputs):
    latent: Latent = Field(description="The latent pictures.")


def changed(latent: Latent, change: Callable[[Array], Array]) -> Latents:
    """A latent with its samples changed; mask and place in the batch stay."""
    import mlx.core as mx
    import numpy as np

    made = np.ascontiguousarray(change(array_of(latent)))  # MLX takes no view that runs backwards
    return Latents(latent=replace(latent, samples=mx.array(made)))


def array_of(latent: Latent) -> Array:
    """The samples in float32."""
    import mlx.core as mx
    import numpy as np

    return np.array(latent.samples.astype(mx.float32))


def _empty(width: int, height: int, batch_size: int, channels: int) -> Latents:
    import mlx.core as mx

    from run_graph.runtime.images.room import require_room
    from run_graph.runtime.sampling.latent_operations import CELL

    shape = (batch_size, height // CELL, width // CELL, channels)
    require_room(shape, "latent cells")
    return Latents(latent=Latent(mx.zeros(shape)))


class EmptyLatentImage(Node):
    """Make empty latent pictures of 4 channels. A sampler repeats them to the 16 that FLUX.1 has."""

    category = "comfyui/latent"
    persistent = False

    width: int = Field(
        default=512,
        ge=16,
        le=MAX_SIDE,
        description="Pixels; rounded down to multiples of 8.",
        json_schema_extra={"step": 8},
    )
    height: int = Field(
        default=512,
        ge=16,
        le=MAX_SIDE,
        description="Pixels; rounded down to multiples of 8.",
        json_schema_extra={"step": 8},
    )
    batch_size: int = Field(default=1, ge=1, le=4096, description="How many.")

    def run(self, ctx: Context) -> Latents:
        return _empty(self.width, self.height, self.batch_size, 4)


class EmptySD3LatentImage(Node):
    """Make empty latent pictures of 16 channels, as FLUX.1 has them."""

    category = "comfyui/latent"
    persistent = False

    width: int = Field(
        default=1024,
        ge=16,
        le=MAX_SIDE,
        description="Pixels; rounded down to multiples of 8.",
        json_schema_extra={"step": 16},
    )
    height: int = Field(
        default=1024,
        ge=16,
        le=MAX_SIDE,
        description="Pixels; rounded down to multiples of 8.",
        json_schema_extra={"step": 16},
    )
    batch_size: int = Field(default=1, ge=1, le=4096, description="How many.")

    def run(self, ctx: Context) -> Latents:
        return _empty(self.width, self.height, self.batch_size, 16)


class SetLatentNoiseMask(Node):
    """Let samplers change latent pictures only where a mask is set; its greys mix."""

    category = "comfyui/latent"
    persistent = False

    samples: Latent = Field(description="The latent pictures.")
    mask: Mask = Field(description="1 where they may change; of any size.")

    def run(self, ctx: Context) -> Latents:
        return Latents(latent=replace(self.samples, noise_mask=self.mask.values))


class LatentUpscale(Node):
    """Resize latent pictures to a width and a height of at least 64 pixels."""

    category = "comfyui/latent"

    samples: Latent = Field(description="The latent pictures.")
    upscale_method: LatentMethod = Field(default="nearest-exact", description=_METHOD)
    width: int = Field(
        default=512,
        ge=0,
        le=MAX_SIDE,
        description="Pixels; 0 keeps the ratio of the sides.",
        json_schema_extra={"step": 8},
    )
    height: int = Field(
        default=512,
        ge=0,
        le=MAX_SIDE,
        description="Pixels; 0 keeps the ratio of the sides.",
        json_schema_extra={"step": 8},
    )
    crop: Crop = Field(
        default="disabled", description="`center` first cuts pictures about their centre to the new ratio."
    )

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import CELL, pixels_given_or_kept, resized

        if self.width == self.height == 0:
            return Latents(latent=self.samples)
        _, rows, columns, _ = self.samples.samples.shape
        width, height = pixels_given_or_kept((columns, rows), self.width, self.height)
        size = width // CELL, height // CELL
        return changed(self.samples, lambda array: resized(array, *size, self.upscale_method, self.crop))


class LatentUpscaleBy(Node):
    """Resize latent pictures by a factor."""

    category = "comfyui/latent"

    samples: Latent = Field(description="The latent pictures.")
    upscale_method: LatentMethod = Field(default="nearest-exact", description=_METHOD)
    scale_by: float = Field(default=1.5, ge=0.01, le=8, description="What both sides are multiplied by.")

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.images.resizing import times
        from run_graph.runtime.sampling.latent_operations import resized

        _, rows, columns, _ = self.samples.samples.shape
        size = times((columns, rows), self.scale_by)
        return changed(self.samples, lambda array: resized(array, *size, self.upscale_method))


class LatentFlip(Node):
    """Mirror latent pictures."""

    category = "comfyui/latent/transform"

    samples: Latent = Field(description="The latent pictures.")
    flip_method: Literal["x-axis: vertically", "y-axis: horizontally"] = Field(
        default="x-axis: vertically", description="About which axis: `x-axis` exchanges top and bottom."
    )

    def run(self, ctx: Context) -> Latents:
        import numpy as np

        axis = 1 if self.flip_method.startswith("x") else 2
        return changed(self.samples, lambda array: np.flip(array, axis))


class LatentRotate(Node):
    """Turn latent pictures clockwise."""

    category = "comfyui/latent/transform"

    samples: Latent = Field(description="The latent pictures.")
    rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"] = Field(
        default="none", description="How far."
    )

    def run(self, ctx: Context) -> Latents:
        import numpy as np

        quarters = 0 if self.rotation == "none" else int(self.rotation.split()[0]) // 90
        return changed(self.samples, lambda array: np.rot90(array, quarters, axes=(2, 1)))


class LatentCrop(Node):
    """Cut a rectangle out of latent pictures.

    It begins 64 pixels before the far edges at the latest, and is moved or made smaller so as not to reach
    beyond them.
    """

    category = "comfyui/latent/transform"

    samples: Latent = Field(description="The latent pictures.")
    width: int = Field(
        default=512,
        ge=64,
        le=MAX_SIDE,
        description="Pixels; rounded down to multiples of 8.",
        json_schema_extra={"step": 8},
    )
    height: int = Field(
        default=512,
        ge=64,
        le=MAX_SIDE,
        description="Pixels; rounded down to multiples of 8.",
        json_schema_extra={"step": 8},
    )
    x: int = Field(
        default=0,
        ge=0,
        le=MAX_SIDE,
        description="The first column, in pixels.",
        json_schema_extra={"step": 8},
    )
    y: int = Field(
        default=0, ge=0, le=MAX_SIDE, description="The first row, in pixels.", json_schema_extra={"step": 8}
    )

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import CELL, cut

        place = [pixels // CELL for pixels in (self.width, self.height, self.x, self.y)]
        return changed(self.samples, lambda array: cut(array, *place))
