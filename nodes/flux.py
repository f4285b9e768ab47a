"""FLUX: from conditioning to latent, from latent to picture."""

from __future__ import annotations

from graph import Context, Field, Node, Outputs
from runtime.generation import Generation
from runtime.values import Conditioning, Flux, Image, Latent, Vae


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
    width: int = Field(1024, ge=16, le=8192, multiple_of=16, description="Pixels.")
    height: int = Field(1024, ge=16, le=8192, multiple_of=16, description="Pixels.")
    steps: int = Field(20, ge=1, le=10000, description="Denoising steps: about 4 for schnell, 20 or more for dev.")
    guidance: float = Field(
        3.5, ge=0, le=100, description="How closely the prompt is followed; schnell has no use for it."
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**64 - 1,
        description="Which noise to begin with.",
        json_schema_extra={"control_after_generate": True},
    )

    def run(self, ctx: Context) -> Sampled:
        import mlx.core as mx

        from runtime.models.checkpoints import shifts_sigmas
        from runtime.models.denoise import denoise, initial_noise, unpack
        from runtime.models.schedule import sigmas
        from runtime.models.store import ModelStore

        model = self.flux
        transformer = ctx.service(ModelStore).transformer(model.checkpoint, model.quantize)
        listening = self.conditioning
        prepared = transformer.prepare(
            listening.tokens, listening.pooled, self.guidance, height=self.height, width=self.width
        )
        levels = sigmas(self.steps, self.width, self.height, shifts_sigmas(model.checkpoint))
        latents = initial_noise(self.seed, self.width, self.height)
        ctx.progress(0, self.steps)
        for step, latents in enumerate(denoise(transformer, prepared, latents, levels), start=1):
            mx.eval(latents)
            ctx.progress(step, self.steps, preview=latents)
        return Sampled(latent=Latent(unpack(latents, self.width, self.height), self._generation()))

    def _generation(self) -> Generation:
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
        )


class Decoded(Outputs):
    image: Image = Field(description="The picture.")


class DecodeLatent(Node):
    """Decode a latent picture into pixels."""

    category = "sampling"

    vae: Vae = Field(description="The autoencoder, from LoadFlux.")
    latent: Latent = Field(description="The latent picture.")

    def run(self, ctx: Context) -> Decoded:
        import mlx.core as mx
        import numpy as np

        from runtime.models.store import ModelStore
        from runtime.models.vae import decode

        vae = ctx.service(ModelStore).get(self.vae.checkpoint, "vae", self.vae.quantize)
        pixels = decode(vae.module, vae.config, self.latent.samples).astype(mx.float32)
        return Decoded(image=Image(np.array(pixels), generation=self.latent.generation))
