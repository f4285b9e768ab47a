"""FLUX: from conditioning to latent, from latent to picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from run_graph.graph import Context, Environment, Field, Node, Outputs, Problem
from run_graph.graph.declaration import parameter_values
from run_graph.runtime.generation import Generation
from run_graph.runtime.models.handles import Flux, Vae
from run_graph.runtime.sampling.samplers import PLAIN_SAMPLERS, SAMPLERS, PlainSamplerName
from run_graph.runtime.sampling.schedules import ScheduleName
from run_graph.runtime.values import Conditioning, Entry, Image, Latent

if TYPE_CHECKING:
    from run_graph.runtime.networks.transformer import Prepared
    from run_graph.runtime.sampling.batch import Sampling


def _samplers_by_cost() -> str:
    groups: dict[str, list[str]] = {}
    for name in PLAIN_SAMPLERS:
        groups.setdefault(SAMPLERS[name].summary(), []).append(f"`{name}`")
    return "; ".join(f"{cost}: {', '.join(names)}" for cost, names in groups.items())


class Sampled(Outputs):
    latent: Latent = Field(description="The latent picture.")


class FluxSample(Node):
    """Sample a latent picture with FLUX.1.

    The noise of a seed is mflux's, so its users' seeds carry over. The noise levels of a schedule are shifted
    by the picture's size where the model asks for it (dev does, schnell does not).

    Picture i of a batch, counted from 0, is the picture of `seed` + i. As many as memory has room for are
    sampled in one pass. `step_reuse` is TeaCache: where the network's input has hardly changed, what the
    network did last is reused; it needs some ten steps or more, and samples one picture at a time.
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
        description="How closely the prompt is followed; schnell ignores it.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**64 - 1,
        description="Chooses the initial noise.",
        json_schema_extra={"control_after_generate": True},
    )
    batch_size: int = Field(default=1, ge=1, le=4096, description="How many pictures, of as many seeds.")
    step_reuse: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="How much may change before the network runs again: 0 runs it at every step, 0.25 is "
        "careful, 0.6 fast.",
    )
    sampler: PlainSamplerName = Field(
        default="euler", description=f"How a step is taken. {_samplers_by_cost()}."
    )
    schedule: ScheduleName = Field(
        default="linear",
        description="Which noise levels are visited: `linear` is mflux's and diffusers', the others are "
        "ComfyUI's of the same names.",
    )

    def run(self, ctx: Context) -> Sampled:
        import mlx.core as mx

        from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
        from run_graph.runtime.models.latent_rgb import latent_rgb_of
        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.networks.latent_rgb import LatentPicture
        from run_graph.runtime.networks.rope import image_positions
        from run_graph.runtime.sampling.batch import Sampling, sample
        from run_graph.runtime.sampling.latents import to_autoencoder_scale, unpack
        from run_graph.runtime.sampling.schedules import comfyui_scale, levels, noise_scale

        model = self.flux
        shift = shifts_sigmas(model.checkpoint)
        scale = noise_scale(self.width, self.height, shift=shift)
        if model.mu is not None:
            scale = comfyui_scale(model.mu, shift=shift)
        sigmas = levels(self.steps, scale, self.schedule)
        store = ctx.service(ModelStore)
        transformer = store.transformer(model.checkpoint, model.quantize, model.loras)
        given = self.conditioning.only
        _require_fit(given, transformer.conditioning_widths)
        guidance = self.guidance if given.guidance is None else given.guidance
        image = image_positions((self.height // 16, self.width // 16))
        prepared = transformer.prepare_at(
            given.tokens, given.pooled, guidance if given.is_guided else None, image
        )
        saved = ctx.resume_state()
        sampling = Sampling(**saved) if saved else self._begin(store.spare_bytes, prepared, sigmas[0])
        steps = SAMPLERS[self.sampler].steps(sigmas)
        ctx.progress(sampling.steps_done(steps), steps * sampling.passes, preview=sampling.under_way)
        colours = latent_rgb_of(model.checkpoint)
        how = sigmas, self.sampler, self.step_reuse, scale
        for step in sample(transformer, prepared, sampling, *how):
            sampling = step.sampling
            mx.eval(step.latents)
            if not sampling.is_finished:
                ctx.save_state(**vars(sampling))
            picture = LatentPicture(colours, unpack(step.denoised, self.width, self.height))
            ctx.progress(step.done, step.total, preview=step.latents, picture=picture)
        samples = to_autoencoder_scale(unpack(sampling.latents, self.width, self.height))
        mx.eval(samples)  # A lazy array could not be read on another thread.
        return Sampled(latent=Latent(samples, self._generation()))

    def _begin(self, spare_bytes: int, prepared: Prepared, level: float) -> Sampling:
        from run_graph.runtime.sampling.batch import begin, pictures_at_once

        at_once = 1
        if not self.step_reuse:  # Whether a step may be reused is judged by one picture.
            text = prepared.text
            tokens = text.shape[1] + self.width * self.height // 256
            at_once = pictures_at_once(self.batch_size, spare_bytes, tokens, text.shape[2], text.dtype.size)
        return begin(self.seed, self.batch_size, self.width, self.height, at_once, level)

    def _generation(self) -> Generation:
        from run_graph.runtime.models.checkpoint_facts import base_model

        entry = self.conditioning.only
        return Generation(
            prompt=entry.prompt,
            references=entry.references,
            model=self.flux.checkpoint.name,
            quantize=self.flux.quantize,
            base_model=base_model(self.flux.checkpoint),
            lora_paths=tuple(lora.name for lora in self.flux.loras),
            lora_scales=tuple(lora.scale for lora in self.flux.loras),
            parameters=parameter_values(self),
            warnings=entry.warnings,
        )


def _require_fit(entry: Entry, takes: tuple[int, int]) -> None:
    """Refuse tokens and a pooled prompt of other widths than the transformer takes."""
    given = entry.tokens.shape[-1], entry.pooled.shape[-1]
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

    With `tile_size`, a large picture is decoded in overlapping tiles, as by mflux's --vae-tiling: this needs
    much less memory, and colours may differ slightly.
    """

    category = "sampling"

    vae: Vae = Field(description="The autoencoder, from LoadFlux.")
    latent: Latent = Field(description="The latent picture.")
    tile_size: int = Field(
        default=0,
        ge=0,
        le=8192,
        multiple_of=16,
        description="Side of a tile in pixels, 128 or more; 0 decodes the picture whole.",
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        if isinstance(self.tile_size, int) and 0 < self.tile_size < 128:
            yield Problem(
                "tile_size",
                "tiles overlap by 64 pixels and must be larger",
                "Use 0 to decode the picture whole, or at least 128.",
                found=self.tile_size,
            )

    def run(self, ctx: Context) -> Decoded:
        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.sampling.autoencoding import decoded, decoded_in_tiles

        generation = self.latent.generation
        if generation is not None:
            generation = generation.with_parameters(parameter_values(self))
        vae = ctx.service(ModelStore).get(self.vae.checkpoint, "vae", self.vae.quantize)
        if self.tile_size:
            pixels = decoded_in_tiles(vae, self.latent.samples, self.tile_size, ctx.progress)
        else:
            pixels = decoded(vae, self.latent.samples, ctx.progress)
        return Decoded(image=Image(pixels, generation=generation))
