"""What samplers and those who run them agree on: a flow answers their questions, a state is between steps.

FLUX.1 is a rectified flow: at noise level s the latents are x = (1 - s) * picture + s * noise, and the model
predicts the velocity v = noise - picture. D = x - s v is the denoised picture that v points to.

Nothing here imports MLX, so that samplers' names are known before any model code is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mlx.core as mx

    from run_graph.runtime.sampling.schedules import NoiseScale


class Flow:
    """What a sampler may ask: the noise levels, the model, and seeded noise.

    A class that derives from this one gives `velocity` or `denoised` and takes the other from here. It gives
    noise and the negative's D if its samplers ask for them.

    Attributes
    ----------
    sigmas : sequence of float
        Noise levels as `samplers.Sampler.prepared` returns them; step i leads from ``sigmas[i]`` to
        ``sigmas[i + 1]``.
    scale : NoiseScale
        The model's.
    """

    sigmas: Sequence[float]
    scale: NoiseScale

    def velocity(self, latents: mx.array, sigma: float) -> mx.array:
        """One evaluation of the model: v at ``sigma``, shape and dtype of ``latents``."""
        return (latents - self.denoised(latents, sigma)) / sigma

    def denoised(self, latents: mx.array, sigma: float) -> mx.array:
        """One evaluation of the model: D at ``sigma``, shape and dtype of ``latents``."""
        return latents - sigma * self.velocity(latents, sigma)

    @property
    def uncond_denoised(self) -> mx.array:
        """U, the D of the negative conditioning alone, at the last evaluation.

        Zeros where the guider has no negative. Asked for by samplers whose row says `uses_negative` only: the
        negative must then be evaluated even where guidance does not need it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no negative conditioning")

    def noise(self, draw: int) -> mx.array:
        """Standard normal noise in the shape of the latents: the same for a draw's number, always.

        Samplers number their draws 0, 1, 2, ... in the order in which ComfyUI draws them.
        """
        raise NotImplementedError(f"{type(self).__name__} has no noise to add")

    def brownian(self, sigma: float, following: float) -> mx.array:
        """Standard normal noise: a Brownian path's increment between two levels over the root of its length.

        One path a run. Asked for by samplers whose row says so only.
        """
        raise NotImplementedError(f"{type(self).__name__} has no Brownian path")


@dataclass(frozen=True)
class State:
    """A place in the loop: all that is needed to go on from there to the same bits.

    Attributes
    ----------
    step : int
        Number of finished steps.
    latents : mx.array
        Latents after them, float32 in any shape.
    history : tuple of mx.array
        What the sampler remembers of earlier steps, each in the shape of the latents.
    numbers : tuple of float
        What else it remembers.
    """

    step: int
    latents: mx.array
    history: tuple[mx.array, ...] = ()
    numbers: tuple[float, ...] = ()

    def then(self, latents: mx.array, *history: mx.array, numbers: tuple[float, ...] = ()) -> State:
        """The state after one more step."""
        return State(self.step + 1, latents, history, numbers)
