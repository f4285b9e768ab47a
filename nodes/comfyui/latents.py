"""Latent pictures: made, masked, resized, cut, turned, and picked from batches."""

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


class LatentFromBatch(Node):
    """Pick some of a batch of latent pictures. A sampler gives each the noise of its place in the batch."""

    category = "comfyui/latent/batch"

    samples: Latent = Field(description="The latent pictures.")
    batch_index: int = Field(
        default=0,
        ge=-MAX_SIDE,
        le=MAX_SIDE,
        description="The first one to pick, counted from 0, or from the end if negative; one that does not "
        "exist becomes the nearest that does.",
    )
    length: int = Field(default=1, ge=1, le=64, description="How many, if there are as many.")

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import first_picked, picked

        latent, count = self.samples, self.samples.samples.shape[0]
        start = first_picked(self.batch_index, count)
        end = min(start + self.length, count)
        places = latent.batch_index or tuple(range(count))
        mask = latent.noise_mask
        made = replace(
            latent,
            samples=latent.samples[start:end],
            batch_index=places[start:end],
            noise_mask=None if mask is None else picked(mask, start, end - start, count),
            generation=latent.generation and latent.generation.of_picture(start),
        )
        return Latents(latent=made)


class RepeatLatentBatch(Node):
    """Repeat a batch of latent pictures, the whole batch each time."""

    category = "comfyui/latent/batch"

    samples: Latent = Field(description="The latent pictures.")
    amount: int = Field(default=1, ge=1, le=64, description="How many times there are in the end.")

    def run(self, ctx: Context) -> Latents:
        import mlx.core as mx
        import numpy as np

        from run_graph.runtime.images.room import require_room
        from run_graph.runtime.sampling.latent_operations import numbered_on

        latent, amount = self.samples, self.amount
        batch, *cells = latent.samples.shape
        require_room((batch * amount, *cells), "latent cells")
        mask, places = latent.noise_mask, latent.batch_index
        made = replace(
            latent,
            samples=mx.tile(latent.samples, (amount, 1, 1, 1)),
            batch_index=None if places is None else numbered_on(places, amount),
            noise_mask=np.tile(mask, (amount, 1, 1)) if mask is not None and len(mask) > 1 else mask,
        )
        return Latents(latent=made)


class LatentBatch(Node):
    """Put latent pictures into one batch; the second ones are cut and resized (bilinear) to the first's size.

    Each keeps its place in its own batch for a sampler's noise. A mask is the first ones'.
    """

    category = "comfyui/latent/batch"

    samples1: Latent = Field(description="The first latent pictures.")
    samples2: Latent = Field(description="The second latent pictures.")

    def run(self, ctx: Context) -> Latents:
        import mlx.core as mx
        import numpy as np

        from run_graph.runtime.sampling.latent_operations import like

        first, second = array_of(self.samples1), array_of(self.samples2)
        joined = np.concatenate([first, like(second, first, whole_batch=False)])
        places = [
            latent.batch_index or tuple(range(latent.samples.shape[0]))
            for latent in (self.samples1, self.samples2)
        ]
        made = replace(
            self.samples1, samples=mx.array(joined), batch_index=places[0] + places[1], generation=None
        )
        return Latents(latent=made)
