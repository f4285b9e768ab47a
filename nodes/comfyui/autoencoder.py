"""The autoencoder: from latent pictures to pixels, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from run_graph.graph import Context, Environment, Field, Node, Outputs, Problem
from run_graph.nodes.comfyui.latents import Latents
from run_graph.nodes.comfyui.pictures import Picture
from run_graph.runtime.models.handles import Vae
from run_graph.runtime.values import Conditioning, Image, Latent, Mask

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from run_graph.runtime.models.loading import LoadedComponent

_VAE = "The autoencoder."
_NO_EFFECT = "Has no effect: it is for videos."


def _autoencoder(ctx: Context, vae: Vae) -> LoadedComponent:
    from run_graph.runtime.models.store import ModelStore

    return ctx.service(ModelStore).get(vae.checkpoint, "vae", vae.quantize)


class VAEDecode(Node):
    """Decode latent pictures into pixels, one picture at a time."""

    category = "comfyui/latent"

    samples: Latent = Field(description="The latent pictures.")
    vae: Vae = Field(description=_VAE)

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.sampling.autoencoding import decoded

        pixels = decoded(_autoencoder(ctx, self.vae), self.samples.samples, ctx.progress)
        return Picture(image=Image.from_comfyui(pixels, self.samples.generation))


class VAEDecodeTiled(Node):
    """Decode latent pictures in overlapping tiles, which takes less memory.

    Each picture is decoded three times, in tiles of different shapes, and the average taken. Colours may
    differ slightly from a picture decoded whole.
    """

    category = "comfyui/latent"

    samples: Latent = Field(description="The latent pictures.")
    vae: Vae = Field(description=_VAE)
    tile_size: int = Field(
        default=512,
        ge=64,
        le=4096,
        description="Side of a square tile in pixels.",
        json_schema_extra={"step": 32},
    )
    overlap: int = Field(
        default=64,
        ge=0,
        le=4096,
        description="Pixels that neighbouring tiles share; a quarter of the side at most.",
        json_schema_extra={"step": 32},
    )
    temporal_size: int = Field(
        default=64, ge=8, le=4096, description=_NO_EFFECT, json_schema_extra={"step": 4}
    )
    temporal_overlap: int = Field(
        default=8, ge=4, le=4096, description=_NO_EFFECT, json_schema_extra={"step": 4}
    )

    def run(self, ctx: Context) -> Picture:
        from run_graph.runtime.sampling.autoencoding import decoded_in_averaged_tiles

        vae, samples = _autoencoder(ctx, self.vae), self.samples.samples
        pixels = decoded_in_averaged_tiles(vae, samples, self.tile_size, self.overlap, ctx.progress)
        return Picture(image=Image.from_comfyui(pixels, self.samples.generation))


class VAEEncode(Node):
    """Encode pictures into latent pictures.

    Sides are cut about the centre to multiples of 8 pixels, and an alpha channel is left out.
    """

    category = "comfyui/latent"

    pixels: Image = Field(description="The pictures.")
    vae: Vae = Field(description=_VAE)

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.autoencoding import encoded, whole_cells

        pixels = whole_cells(self.pixels.samples[..., :3])
        return Latents(latent=Latent(encoded(_autoencoder(ctx, self.vae), pixels, ctx.progress)))


class VAEEncodeTiled(Node):
    """Encode pictures in overlapping tiles, which takes less memory; otherwise like VAEEncode.

    Each picture is encoded three times, in tiles of different shapes, and the average taken.
    """

    category = "comfyui/latent"

    pixels: Image = Field(description="The pictures.")
    vae: Vae = Field(description=_VAE)
    tile_size: int = Field(
        default=512,
        ge=64,
        le=4096,
        description="Side of a square tile in pixels: a multiple of 16.",
        json_schema_extra={"step": 64},
    )
    overlap: int = Field(
        default=64,
        ge=0,
        le=4096,
        description="Pixels that neighbouring tiles share: a multiple of 8, less than half of the side.",
        json_schema_extra={"step": 32},
    )
    temporal_size: int = Field(
        default=64, ge=8, le=4096, description=_NO_EFFECT, json_schema_extra={"step": 4}
    )
    temporal_overlap: int = Field(
        default=8, ge=4, le=4096, description=_NO_EFFECT, json_schema_extra={"step": 4}
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        if isinstance(self.tile_size, int) and self.tile_size % 16:
            yield Problem(
                "tile_size", "half a tile ends within a latent cell", "Give a multiple of 16.", self.tile_size
            )
        if isinstance(self.overlap, int) and self.overlap % 8:
            yield Problem(
                "overlap", "a tile begins within a latent cell", "Give a multiple of 8.", self.overlap
            )
        sizes = self.tile_size, self.overlap
        if all(isinstance(size, int) for size in sizes) and sizes[0] <= 2 * sizes[1]:
            yield Problem(
                "overlap",
                f"tiles of {self.tile_size} pixels overlap by half of their side or more",
                "Give less than half of tile_size.",
                self.overlap,
            )

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.autoencoding import encoded_in_averaged_tiles, whole_cells

        vae, pixels = _autoencoder(ctx, self.vae), whole_cells(self.pixels.samples[..., :3])
        samples = encoded_in_averaged_tiles(vae, pixels, self.tile_size, self.overlap, ctx.progress)
        return Latents(latent=Latent(samples))


class VAEEncodeForInpaint(Node):
    """Encode pictures with their masked part greyed out, so that a sampler paints it again.

    The mask, rounded to 0 and 1, goes with the latent pictures as what may change.
    """

    category = "comfyui/latent/inpaint"

    pixels: Image = Field(description="The pictures; cut and without alpha as in VAEEncode.")
    vae: Vae = Field(description=_VAE)
    mask: Mask = Field(description="What is painted again, resized (bilinear) to the pictures.")
    grow_mask_by: int = Field(
        default=6,
        ge=0,
        le=64,
        description="Each masked pixel becomes a square of this side in the mask that goes along; 0 or 1 "
        "leaves it as it is.",
    )

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.images.inpainting import greyed, grown_to_squares
        from run_graph.runtime.sampling.autoencoding import encoded, whole_cells

        mask = _cut_mask(self.mask, self.pixels)
        pixels = greyed(whole_cells(self.pixels.pixels[..., :3]), mask)
        samples = encoded(_autoencoder(ctx, self.vae), pixels, ctx.progress)
        return Latents(latent=Latent(samples, noise_mask=grown_to_squares(mask, self.grow_mask_by)))


class ConditionedForInpainting(Outputs):
    positive: Conditioning = Field(description="The first conditioning, unchanged.")
    negative: Conditioning = Field(description="The second conditioning, unchanged.")
    latent: Latent = Field(description="The latent pictures, with the mask if `noise_mask` is set.")


class InpaintModelConditioning(Node):
    """Encode pictures, and say by a mask what of them may change.

    Models made for inpainting, such as FLUX.1 Fill, see the rest of the picture in the conditioning. None of
    the models here does, so conditionings pass through.
    """

    category = "comfyui/conditioning"

    positive: Conditioning = Field(description="What the picture shows.")
    negative: Conditioning = Field(description="What it does not show.")
    vae: Vae = Field(description=_VAE)
    pixels: Image = Field(description="The pictures; cut and without alpha as in VAEEncode.")
    mask: Mask = Field(description="What may change, resized (bilinear) to the pictures.")
    noise_mask: bool = Field(default=True, description="Whether the mask goes with the latent pictures.")

    def run(self, ctx: Context) -> ConditionedForInpainting:
        from run_graph.runtime.sampling.autoencoding import encoded, whole_cells

        pixels = whole_cells(self.pixels.samples[..., :3])
        samples = encoded(_autoencoder(ctx, self.vae), pixels, ctx.progress)
        mask = _cut_mask(self.mask, self.pixels) if self.noise_mask else None
        return ConditionedForInpainting(
            positive=self.positive, negative=self.negative, latent=Latent(samples, noise_mask=mask)
        )


def _cut_mask(mask: Mask, pixels: Image) -> npt.NDArray[np.float32]:
    """A mask resized to pictures and cut like them."""
    import numpy as np

    from run_graph.runtime.images.interpolation import resize
    from run_graph.runtime.sampling.autoencoding import whole_cells

    _, height, width, _ = pixels.shape
    return np.ascontiguousarray(whole_cells(resize(mask.values, height, width, "bilinear")))
