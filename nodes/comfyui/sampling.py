"""ComfyUI's samplers: from a latent picture and noise to a latent picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.guiders import CFG, Guider
from run_graph.nodes.comfyui.model_sampling import scale_of
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.sampling.samplers import SAMPLERS, SamplerName
from run_graph.runtime.sampling.schedules import ComfyuiScheduleName
from run_graph.runtime.values import Conditioning, Latent, NoiseChoice, SamplerChoice, Sigmas

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    import numpy.typing as npt

    from run_graph.runtime.sampling.conditioned import ConditionedModel
    from run_graph.runtime.sampling.guided import Masked, Start

_CATEGORY = "comfyui/sampling"
_SEED: dict[str, Any] = {"control_after_generate": True}
_LATENT = "What is begun with: an empty latent picture, or one to change."


class SampledLatent(Outputs):
    latent: Latent = Field(description="The latent picture.")


class SampledTwice(Outputs):
    output: Latent = Field(description="The latent picture.")
    denoised_output: Latent = Field(description="The picture that the last step aimed at.")


class KSampler(Node):
    """Sample a latent picture.

    Noise, schedules and samplers are ComfyUI's, so that its users' seeds give their pictures. FluxSample is
    our own node, with mflux's noise.
    """

    category = _CATEGORY

    model: Flux = Field(description="The transformer.")
    seed: int = Field(
        default=0, ge=0, le=2**64 - 1, description="Chooses the noise.", json_schema_extra=_SEED
    )
    steps: int = Field(default=20, ge=1, le=10000, description="Number of steps.")
    cfg: float = Field(default=8.0, ge=0, le=100, description=CFG)
    sampler_name: SamplerName = Field(default="euler", description="How a step is taken.")
    scheduler: ComfyuiScheduleName = Field(default="simple", description="Which noise levels are visited.")
    positive: Conditioning = Field(description="What the picture shows.")
    negative: Conditioning = Field(description="What it does not show.")
    latent_image: Latent = Field(description=_LATENT)
    denoise: float = Field(
        default=1.0, ge=0, le=1, description="How much of the picture is made again: 1 is all of it."
    )

    def run(self, ctx: Context) -> SampledLatent:
        guider = Guider(self.model, self.positive.entries, self.negative.entries, self.cfg)
        levels = _levels(self.model, self.sampler_name, self.scheduler, self.steps, self.denoise)
        sampler, noise = SamplerChoice(self.sampler_name), NoiseChoice(self.seed)
        return SampledLatent(latent=_sampled(ctx, guider, sampler, levels, noise, self.latent_image)[0])


class KSamplerAdvanced(Node):
    """Sample some of a schedule's steps, so that several samplers can share one picture."""

    category = _CATEGORY

    model: Flux = Field(description="The transformer.")
    add_noise: Literal["enable", "disable"] = Field(
        default="enable", description="Whether noise is added; not to a picture that has noise left."
    )
    noise_seed: int = Field(
        default=0, ge=0, le=2**64 - 1, description="Chooses the noise.", json_schema_extra=_SEED
    )
    steps: int = Field(default=20, ge=1, le=10000, description="Number of steps of the whole schedule.")
    cfg: float = Field(default=8.0, ge=0, le=100, description=CFG)
    sampler_name: SamplerName = Field(default="euler", description="How a step is taken.")
    scheduler: ComfyuiScheduleName = Field(default="simple", description="Which noise levels are visited.")
    positive: Conditioning = Field(description="What the picture shows.")
    negative: Conditioning = Field(description="What it does not show.")
    latent_image: Latent = Field(description=_LATENT)
    start_at_step: int = Field(default=0, ge=0, le=10000, description="The first step that is taken, from 0.")
    end_at_step: int = Field(default=10000, ge=0, le=10000, description="The step before which it ends.")
    return_with_leftover_noise: Literal["disable", "enable"] = Field(
        default="disable", description="Whether noise is left for another sampler if it ends early."
    )

    def run(self, ctx: Context) -> SampledLatent:
        guider = Guider(self.model, self.positive.entries, self.negative.entries, self.cfg)
        levels = _levels(self.model, self.sampler_name, self.scheduler, self.steps, 1.0)
        if self.end_at_step < len(levels) - 1:
            levels = levels[: self.end_at_step + 1]
            if self.return_with_leftover_noise == "disable":
                levels = [*levels[:-1], 0.0]
        levels = levels[self.start_at_step :] if self.start_at_step < len(levels) - 1 else []
        noise = NoiseChoice(self.noise_seed, self.add_noise == "enable")
        sampler = SamplerChoice(self.sampler_name)
        return SampledLatent(latent=_sampled(ctx, guider, sampler, levels, noise, self.latent_image)[0])


class SamplerCustom(Node):
    """Sample a latent picture with any sampler and any noise levels."""

    category = _CATEGORY

    model: Flux = Field(description="The transformer.")
    add_noise: bool = Field(default=True, description="Whether noise is added.")
    noise_seed: int = Field(
        default=0, ge=0, le=2**64 - 1, description="Chooses the noise.", json_schema_extra=_SEED
    )
    cfg: float = Field(default=8.0, ge=0, le=100, description=CFG)
    positive: Conditioning = Field(description="What the picture shows.")
    negative: Conditioning = Field(description="What it does not show.")
    sampler: SamplerChoice = Field(description="How a step is taken.")
    sigmas: Sigmas = Field(description="Which noise levels are visited.")
    latent_image: Latent = Field(description=_LATENT)

    def run(self, ctx: Context) -> SampledTwice:
        guider = Guider(self.model, self.positive.entries, self.negative.entries, self.cfg)
        noise = NoiseChoice(self.noise_seed, self.add_noise)
        found = _sampled(ctx, guider, self.sampler, self.sigmas.to_list(), noise, self.latent_image)
        return SampledTwice(output=found[0], denoised_output=found[1])


class SamplerCustomAdvanced(Node):
    """Sample a latent picture with any noise, guider, sampler and noise levels."""

    category = _CATEGORY

    noise: NoiseChoice = Field(description="The noise.")
    guider: Guider = Field(description="What predicts the picture.")
    sampler: SamplerChoice = Field(description="How a step is taken.")
    sigmas: Sigmas = Field(description="Which noise levels are visited.")
    latent_image: Latent = Field(description=_LATENT)

    def run(self, ctx: Context) -> SampledTwice:
        found = _sampled(ctx, self.guider, self.sampler, self.sigmas.to_list(), self.noise, self.latent_image)
        return SampledTwice(output=found[0], denoised_output=found[1])


class AddNoise(Node):
    """Add noise to a latent picture, as much as lies between the first and the last noise level."""

    category = "comfyui/sampling/noise"

    model: Flux = Field(description="The transformer.")
    noise: NoiseChoice = Field(description="The noise.")
    sigmas: Sigmas = Field(description="The noise levels.")
    latent_image: Latent = Field(description="The picture.")

    def run(self, ctx: Context) -> SampledLatent:
        import mlx.core as mx

        from run_graph.runtime.sampling.latents import to_autoencoder_scale

        levels, latent = self.sigmas.to_list(), _with_16_channels(self.latent_image)
        if not levels:
            return SampledLatent(latent=self.latent_image)
        scale = abs(levels[0] - levels[-1]) if len(levels) > 1 else levels[0]
        noise = mx.array(_initial_noise(self.noise, latent))
        samples = to_autoencoder_scale(scale * noise + (1 - scale) * _in_model_scale(latent))
        return SampledLatent(latent=replace(self.latent_image, samples=mx.nan_to_num(samples)))


def _levels(model: Flux, sampler: str, schedule: str, steps: int, denoise: float) -> list[float]:
    """The noise levels of KSampler: the last steps of a longer schedule if ``denoise`` is below 1."""
    from run_graph.runtime.sampling.schedules import ksampler_levels

    drops = SAMPLERS[sampler].drops_penultimate
    # In float32, as the sigma nodes give them: a level of 1 is exactly 1.
    return Sigmas.of(ksampler_levels(schedule, steps, scale_of(model), denoise, drops)).to_list()


def _sampled(
    ctx: Context,
    guider: Guider,
    choice: SamplerChoice,
    levels: Sequence[float],
    noise: NoiseChoice,
    latent: Latent,
) -> tuple[Latent, Latent]:
    """The latent picture, and the one that the last step aimed at; both the given one if there is no step."""
    import mlx.core as mx

    from run_graph.runtime.models.latent_rgb import latent_rgb_of
    from run_graph.runtime.networks.latent_rgb import LatentPicture
    from run_graph.runtime.sampling.flow import State
    from run_graph.runtime.sampling.guided import GuidedFlow, Start, begin, finished, steps
    from run_graph.runtime.sampling.latents import to_autoencoder_scale

    latent = _with_16_channels(latent)
    if len(levels) < 2:
        return latent, latent
    sampler, scale = SAMPLERS[choice.name], scale_of(guider.model)
    start = Start(
        _in_model_scale(latent),
        _initial_noise(noise, latent),
        noise.seed,
        _masked(latent, guider.model),
    )
    visited = sampler.prepared(levels, scale)
    model = _model(ctx, guider, start, choice, visited)
    flow = GuidedFlow(model, start, levels, visited, scale, sampler)
    saved = ctx.resume_state()
    denoised = saved.pop("denoised") if saved else start.latents
    state = State(**saved) if saved else begin(start, levels)
    colours = latent_rgb_of(guider.model.checkpoint)
    ctx.progress(sampler.done(visited, state), sampler.steps(visited), preview=denoised)
    for step in steps(flow, state, dict(choice.options)):
        state, denoised = step.state, step.denoised
        mx.eval(state.latents, denoised, *state.history)
        if step.done < step.total:
            ctx.save_state(**vars(state), denoised=denoised)
        ctx.progress(step.done, step.total, preview=denoised, picture=LatentPicture(colours, denoised))
    result = replace(latent, samples=to_autoencoder_scale(finished(state, visited)), generation=None)
    return result, replace(result, samples=to_autoencoder_scale(denoised))


def _model(
    ctx: Context, guider: Guider, start: Start, choice: SamplerChoice, levels: Sequence[float]
) -> ConditionedModel:
    from run_graph.runtime.models.store import ModelStore
    from run_graph.runtime.sampling.conditioned import ConditionedModel, Guidance

    handle, sampler, scale = guider.model, SAMPLERS[choice.name], scale_of(guider.model)
    transformer = ctx.service(ModelStore).transformer(
        handle.checkpoint, handle.quantize, handle.loras, levels_are_known=not sampler.is_adaptive
    )
    guidance = Guidance(
        guider.positive,
        guider.negative,
        guider.scale,
        guider.middle,
        guider.middle_scale,
        guider.is_nested,
        handle.rescale,
    )
    _, height, width, _ = start.latents.shape
    visited = sampler.visited(levels, scale, dict(choice.options))
    return ConditionedModel(
        transformer, guidance, height, width, visited, scale.at_part, sampler.uses_negative
    )


def _with_16_channels(latent: Latent) -> Latent:
    """An empty latent of another number of channels, repeated along them, as ComfyUI does."""
    import mlx.core as mx

    channels = latent.samples.shape[-1]
    if channels == 16:
        return latent
    if 16 % channels or mx.any(latent.samples != 0).item():
        raise ValueError(
            f"the latent has {channels} channels, FLUX's have 16: another model's autoencoder made it; "
            "encode the picture with FLUX's"
        )
    return replace(latent, samples=mx.concatenate([latent.samples] * (16 // channels), axis=-1))


def _in_model_scale(latent: Latent) -> mx.array:
    """The picture in the model's scale; an empty one stays empty."""
    import mlx.core as mx

    from run_graph.runtime.sampling.latents import to_model_scale

    return to_model_scale(latent.samples) if mx.any(latent.samples != 0).item() else latent.samples


def _initial_noise(noise: NoiseChoice, latent: Latent) -> npt.NDArray[np.float32]:
    """(B, h, w, 16)."""
    import numpy as np

    from run_graph.runtime.sampling.torch_noise import batch_noise

    batch, height, width, channels = latent.samples.shape
    if not noise.is_added:
        return np.zeros((batch, height, width, channels), np.float32)
    drawn = batch_noise(noise.seed, (batch, channels, height, width), latent.batch_index)
    return np.ascontiguousarray(drawn.transpose(0, 2, 3, 1))


def _masked(latent: Latent, model: Flux) -> Masked | None:
    import mlx.core as mx

    from run_graph.runtime.sampling.guided import Masked
    from run_graph.runtime.sampling.regions import resized_mask

    if latent.noise_mask is None:
        return None
    _, height, width, _ = latent.samples.shape
    mask = resized_mask(latent.noise_mask, height, width)[..., None]
    return Masked(mx.array(mask), model.differential)
