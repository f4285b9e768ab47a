"""FLUX: from conditioning to latent, from latent to picture."""

from __future__ import annotations

from collections.abc import Iterable

from graph import Context, Environment, Field, Node, Outputs, Problem
from runtime.generation import Generation
from runtime.models.handles import Flux, Vae
from runtime.values import Conditioning, Image, Latent


class Sampled(Outputs):
    latent: Latent = Field(description="The latent picture.")


class FluxSample(Node):
    """Sample a latent picture with FLUX.1.

    Euler's method over linearly spaced noise levels, shifted by the picture's size where the model asks
    for it (dev does, schnell does not). The noise of a seed is mflux's, so its users' seeds carry over.
    """

    category = "sampling"

    flux: Flux = Field(description="The transformer, from LoadFlux.")
    conditioning: Conditioning = Field(description="Prompt and reference pictures.")
    width: int = Field(default=1024, ge=16, le=8192, multiple_of=16, description="Pixels.")
    height: int = Field(default=1024, ge=16, le=8192, multiple_of=16, description="Pixels.")
    steps: int = Field(
        default=20, ge=1, le=10000, description="Denoising steps: about 4 for schnell, 20 or more for dev."
    )
    guidance: float = Field(
        default=3.5,
        ge=0,
        le=100,
        description="How closely the prompt is followed; schnell has no use for it.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**64 - 1,
        description="Which noise to begin with.",
        json_schema_extra={"control_after_generate": True},
    )

    def run(self, ctx: Context) -> Sampled:
        import mlx.core as mx

        from runtime.models.checkpoints import shifts_sigmas
        from runtime.models.denoise import Point, denoise, initial_noise, unpack
        from runtime.models.schedule import sigmas
        from runtime.models.store import ModelStore
        from runtime.models.transformer import conditioning_widths

        model = self.flux
        store = ctx.service(ModelStore)
        transformer = store.transformer(model.checkpoint, model.quantize, model.loras)
        listening = self.conditioning
        base = store.get(model.checkpoint, "transformer", model.quantize)
        _require_fit(listening, conditioning_widths(base.module))
        prepared = transformer.prepare(
            listening.tokens, listening.pooled, self.guidance, height=self.height, width=self.width
        )
        levels = sigmas(self.steps, self.width, self.height, shifts_sigmas(model.checkpoint))
        half = ctx.half()
        begin = Point(**half) if half else Point(0, initial_noise(self.seed, self.width, self.height))
        latents = begin.latents
        ctx.progress(begin.step, self.steps, preview=latents)
        for step in denoise(transformer, prepared, latents, levels, begin.step):
            latents = step.latents
            mx.eval(latents)
            if step.number < self.steps:
                ctx.save_half(step=step.restart.step, latents=step.restart.latents)
            ctx.progress(step.number, self.steps, preview=latents)
        return Sampled(latent=Latent(unpack(latents, self.width, self.height), self._generation()))

    def _generation(self) -> Generation:
        from runtime.models.checkpoints import base_model

        return Generation(
            prompt=self.conditioning.prompt,
            references=self.conditioning.references,
            seed=self.seed,
            steps=self.steps,
            guidance=self.guidance,
            width=self.width,
            height=self.height,
            model=self.flux.checkpoint.name,
            quantize=self.flux.quantize,
            base_model=base_model(self.flux.checkpoint),
            lora_paths=tuple(lora.name for lora in self.flux.loras),
            lora_scales=tuple(lora.scale for lora in self.flux.loras),
        )


def _require_fit(conditioning: Conditioning, takes: tuple[int, int]) -> None:
    """Refuse tokens and a pooled prompt of other widths than the transformer takes."""
    given = conditioning.tokens.shape[-1], conditioning.pooled.shape[-1]
    if given != takes:
        raise ValueError(
            f"the conditioning was made by another model's text encoders: its tokens are {given[0]} wide and "
            f"its pooled prompt {given[1]}, the transformer takes {takes[0]} and {takes[1]}; take both from "
            "one LoadFlux"
        )


class Decoded(Outputs):
    image: Image = Field(description="The picture.")


class DecodeLatent(Node):
    """Decode a latent picture into pixels.

    `tile_size` decodes a large picture in overlapping tiles, as mflux does with --vae-tiling: much less
    memory, and colours that may differ slightly.
    """

    category = "sampling"

    vae: Vae = Field(description="The autoencoder, from LoadFlux.")
    latent: Latent = Field(description="The latent picture.")
    tile_size: int = Field(
        default=0,
        ge=0,
        le=8192,
        multiple_of=16,
        description="Side of a tile, pixels: 128 or more; 0 decodes the whole.",
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        if isinstance(self.tile_size, int) and 0 < self.tile_size < 128:
            yield Problem(
                "tile_size",
                "tiles overlap by 64 pixels and must be larger",
                "Use 0 to decode the picture whole, or 128 and more.",
                found=self.tile_size,
            )

    def run(self, ctx: Context) -> Decoded:
        import mlx.core as mx
        import numpy as np

        from runtime.models.store import ModelStore
        from runtime.models.vae import decode
        from runtime.models.vae_tiling import decode_tiled

        vae = ctx.service(ModelStore).get(self.vae.checkpoint, "vae", self.vae.quantize)
        if self.tile_size:
            tiled = decode_tiled(vae.module, vae.config, self.latent.samples, self.tile_size, ctx.progress)
            return Decoded(image=Image(tiled, generation=self.latent.generation))
        pixels = decode(vae.module, vae.config, self.latent.samples).astype(mx.float32)
        return Decoded(image=Image(np.array(pixels), generation=self.latent.generation))
