"""Arithmetic with latent pictures, and latent pictures laid over one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from run_graph.graph import Context, Field, Node
from run_graph.nodes.comfyui.latents import Latents, array_of, changed
from run_graph.nodes.comfyui.pictures import MAX_SIDE
from run_graph.runtime.values import Latent, Mask

if TYPE_CHECKING:
    from run_graph.runtime.sampling.latent_operations import Array

_SECOND = (
    "The second latent pictures, cut about their centre and resized (bilinear) to the first's size; a short "
    "batch starts again, a long one is cut."
)


def _mixed(first: Latent, second: Latent, mix: Callable[[Array, Array], Array]) -> Latents:
    """The first latent, with its mask and places, and samples made of both."""
    return changed(replace(first, generation=None), lambda array: mix(array, array_of(second)))


class LatentAdd(Node):
    """Add latent pictures."""

    category = "comfyui/latent/advanced"

    samples1: Latent = Field(description="The first latent pictures.")
    samples2: Latent = Field(description=_SECOND)

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import like

        return _mixed(self.samples1, self.samples2, lambda first, second: first + like(second, first))


class LatentSubtract(Node):
    """Subtract latent pictures from others."""

    category = "comfyui/latent/advanced"

    samples1: Latent = Field(description="The first latent pictures.")
    samples2: Latent = Field(description=_SECOND)

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import like

        return _mixed(self.samples1, self.samples2, lambda first, second: first - like(second, first))


class LatentMultiply(Node):
    """Multiply latent pictures by a number."""

    category = "comfyui/latent/advanced"

    samples: Latent = Field(description="The latent pictures.")
    multiplier: float = Field(default=1.0, ge=-10, le=10, description="The number.")

    def run(self, ctx: Context) -> Latents:
        import numpy as np

        return changed(self.samples, lambda array: array * np.float32(self.multiplier))


class LatentInterpolate(Node):
    """Mix latent pictures: the directions of their values, and their strengths, each by themselves."""

    category = "comfyui/latent/advanced"

    samples1: Latent = Field(description="The first latent pictures.")
    samples2: Latent = Field(description=_SECOND)
    ratio: float = Field(default=1.0, ge=0, le=1, description="The share of the first.")

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import interpolated, like

        return _mixed(
            self.samples1,
            self.samples2,
            lambda first, second: interpolated(first, like(second, first), self.ratio),
        )


class LatentBlend(Node):
    """Mix latent pictures."""

    category = "comfyui/latent/advanced"

    samples1: Latent = Field(description="The first latent pictures.")
    samples2: Latent = Field(
        description="The second ones, as many or one, cut about their centre and resized (bicubic) to the "
        "first's size."
    )
    blend_factor: float = Field(default=0.5, ge=0, le=1, description="The share of the first.")

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import blended

        return _mixed(
            self.samples1, self.samples2, lambda first, second: blended(first, second, self.blend_factor)
        )


class LatentComposite(Node):
    """Lay latent pictures over others; what does not fit is left out."""

    category = "comfyui/latent"

    samples_to: Latent = Field(description="The latent pictures below.")
    samples_from: Latent = Field(description="The latent pictures above: as many as below, or one.")
    x: int = Field(
        default=0,
        ge=0,
        le=MAX_SIDE,
        description="The upper ones' first column, in pixels.",
        json_schema_extra={"step": 8},
    )
    y: int = Field(
        default=0,
        ge=0,
        le=MAX_SIDE,
        description="The upper ones' first row, in pixels.",
        json_schema_extra={"step": 8},
    )
    feather: int = Field(
        default=0,
        ge=0,
        le=MAX_SIDE,
        description="Over how many pixels the upper ones fade at their edges, except at the picture's own.",
        json_schema_extra={"step": 8},
    )

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import CELL, laid_over

        place = [pixels // CELL for pixels in (self.x, self.y, self.feather)]
        return _mixed(
            self.samples_to, self.samples_from, lambda below, above: laid_over(below, above, *place)
        )


class LatentCompositeMasked(Node):
    """Lay latent pictures over others through a mask; what does not fit is left out."""

    category = "comfyui/latent"

    destination: Latent = Field(description="The latent pictures below.")
    source: Latent = Field(
        description="The latent pictures above; a short batch starts again, a long one is cut."
    )
    x: int = Field(
        default=0,
        ge=0,
        le=MAX_SIDE,
        description="The source's first column, in pixels.",
        json_schema_extra={"step": 8},
    )
    y: int = Field(
        default=0,
        ge=0,
        le=MAX_SIDE,
        description="The source's first row, in pixels.",
        json_schema_extra={"step": 8},
    )
    resize_source: bool = Field(
        default=False, description="Whether the source is first resized (bilinear) to the destination's size."
    )
    mask: Mask | None = Field(
        default=None,
        description="How much of the source is seen, resized (bilinear) to it; all of it without a mask.",
    )

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import CELL, laid_over_masked

        mask = None if self.mask is None else self.mask.values
        how = self.x // CELL, self.y // CELL, mask, self.resize_source
        return _mixed(
            self.destination, self.source, lambda below, above: laid_over_masked(below, above, *how)
        )
