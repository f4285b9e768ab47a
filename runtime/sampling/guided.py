"""Sampling as ComfyUI does it: any sampler, guidance, masks, and a start from any latent picture.

A picture begins as x = s0 * noise + (1 - s0) * latent, and what the steps end with is divided by 1 - the last
level, so that a run that stops early can be continued by another one without new noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.sampling.brownian import BrownianPath
from run_graph.runtime.sampling.conditioned import ConditionedModel
from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.samplers import Sampler
from run_graph.runtime.sampling.schedules import NoiseScale
from run_graph.runtime.sampling.torch_noise import NumberedDraws


@dataclass(frozen=True, eq=False)
class Masked:
    """The part of the pictures that may change.

    Attributes
    ----------
    mask : array (B or 1, h, w, 1)
        1 where the picture is sampled, 0 where it stays as it is.
    threshold : float or None
        Not None: differential diffusion (arXiv 2306.00950). A cell is sampled from the level on at which its
        mask value is reached; a number below 1 mixes this with the mask itself.
    """

    mask: mx.array
    threshold: float | None = None

    def at(self, sigma: float, sigmas: Sequence[float], scale: NoiseScale) -> mx.array:
        """The mask at a noise level."""
        if self.threshold is None:
            return self.mask
        last = max(sigmas[-1], scale.lowest)
        reached = (self.mask >= (sigma - last) / (sigmas[0] - last)).astype(self.mask.dtype)
        if not 0 < self.threshold < 1:
            return reached
        return self.threshold * reached + (1 - self.threshold) * self.mask


@dataclass(frozen=True, eq=False)
class Start:
    """What a sampling begins with.

    Attributes
    ----------
    latents : array (B, h, w, 16)
        Pictures in the model's scale; zeros for none.
    noise : float32 array of the same shape
        The initial noise; zeros to continue a run that stopped early.
    seed : int
        Of the noise that samplers add.
    masked : Masked or None
    """

    latents: mx.array
    noise: npt.NDArray[np.float32]
    seed: int
    masked: Masked | None = None


@dataclass
class GuidedFlow(Flow):
    """The model as a sampler's `Flow`.

    Attributes
    ----------
    asked : sequence of float
        The noise levels that were asked for, which a Brownian path spans; ``sigmas`` are those visited.
    first_denoised : array or None
        D of the first evaluation since it was last set to None.
    """

    model: ConditionedModel
    start: Start
    asked: Sequence[float]
    sigmas: Sequence[float]
    scale: NoiseScale
    sampler: Sampler
    first_denoised: mx.array | None = field(default=None, init=False)

    def denoised(self, latents: mx.array, sigma: float) -> mx.array:
        masked, kept = self.start.masked, self.start.latents
        if masked is None:
            found = self.model.denoised(latents, sigma)
        else:
            mask = masked.at(sigma, self.sigmas, self.scale)
            around = sigma * self._noise_around + (1 - sigma) * kept
            found = self.model.denoised(latents * mask + around * (1 - mask), sigma)
            found = found * mask + kept * (1 - mask)
        if self.first_denoised is None:
            self.first_denoised = found
        return found

    @property
    def uncond_denoised(self) -> mx.array:
        negative = self.model.negative
        return mx.zeros_like(self.start.latents) if negative is None else negative

    def noise(self, draw: int) -> mx.array:
        return _channels_last(self._draws(draw))

    def brownian(self, sigma: float, following: float) -> mx.array:
        return _channels_last(self._path.noise(sigma, following))

    @cached_property
    def _draws(self) -> NumberedDraws:
        if self.start.seed + 1 >= 2**64:
            raise ValueError("this sampler draws its noise from seed + 1, so the seed must be below 2^64 - 1")
        return NumberedDraws(self.start.seed + 1, self._shape)

    @cached_property
    def _path(self) -> BrownianPath:
        levels = [sigma for sigma in self.asked if sigma > 0]
        return BrownianPath(self.start.seed, self._shape, min(levels), max(levels))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        batch, height, width, channels = self.start.latents.shape
        return batch, channels, height, width

    @cached_property
    def _noise_around(self) -> mx.array:
        """The noise that lies over the part of the picture that stays."""
        return self.noise(0) if self.sampler.renews_inpainting_noise else mx.array(self.start.noise)


@dataclass(frozen=True, eq=False)
class GuidedStep:
    """One finished step.

    Attributes
    ----------
    done, total : int
    state : State
        Where an interrupted sampling may go on to the same bits.
    denoised : array (B, h, w, 16)
        D of the step's first evaluation.
    """

    done: int
    total: int
    state: State
    denoised: mx.array


def begin(start: Start, sigmas: Sequence[float]) -> State:
    """The noisy latents at the first of these levels, which are those that were asked for."""
    first = sigmas[0]
    return State(0, first * mx.array(start.noise) + (1 - first) * start.latents)


def steps(flow: GuidedFlow, state: State, options: Mapping[str, Any]) -> Iterator[GuidedStep]:
    """Take all steps to come; the caller evaluates what is yielded."""
    sampler = flow.sampler
    total = sampler.steps(flow.sigmas)
    flow.first_denoised = None
    for reached in sampler.run(flow, state, dict(options)):
        assert flow.first_denoised is not None
        yield GuidedStep(sampler.done(flow.sigmas, reached), total, reached, flow.first_denoised)
        flow.first_denoised = None


def finished(state: State, sigmas: Sequence[float]) -> mx.array:
    """The latents after the last step, in the model's scale."""
    return state.latents / (1 - sigmas[-1])


def _channels_last(array: npt.NDArray[np.float32]) -> mx.array:
    return mx.array(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))
