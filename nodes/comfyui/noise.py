"""Where the noise of a sampling comes from."""

from __future__ import annotations

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.values import NoiseChoice


class Noisy(Outputs):
    noise: NoiseChoice = Field(description="The noise, for a sampler.")


class RandomNoise(Node):
    """Take the noise that PyTorch draws for a seed on a CPU, as ComfyUI does.

    It is another than that of `FluxSample`, which is mflux's.
    """

    category = "comfyui/sampling/noise"
    persistent = False

    noise_seed: int = Field(
        default=0,
        ge=0,
        le=2**64 - 1,
        description="Chooses the noise.",
        json_schema_extra={"control_after_generate": True},
    )

    def run(self, ctx: Context) -> Noisy:
        return Noisy(noise=NoiseChoice(self.noise_seed))


class DisableNoise(Node):
    """Add no noise: the latents that a sampler is given have noise already."""

    category = "comfyui/sampling/noise"
    persistent = False

    def run(self, ctx: Context) -> Noisy:
        return Noisy(noise=NoiseChoice(0, is_added=False))
