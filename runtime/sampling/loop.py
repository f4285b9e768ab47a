"""The sampling loop: one step after another, and the places from which it can resume."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mlx.core as mx

from run_graph.runtime.networks.transformer import FluxTransformer, Prepared
from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.samplers import SAMPLERS, Sampler
from run_graph.runtime.sampling.schedules import PLAIN_SCALE, NoiseScale
from run_graph.runtime.sampling.step_reuse import StepReuse

Noise = Callable[[int], mx.array]


def no_noise(draw: int) -> mx.array:
    """For samplers that add none. Raises ValueError: an added zero would pass unnoticed."""
    raise ValueError("this sampler adds noise; give denoise the noise to add")


@dataclass(frozen=True)
class SampleStep:
    """One finished step.

    Attributes
    ----------
    number
        Number of finished steps, from 1.
    latents
        Packed latents after them, (B, tokens, 64).
    resume
        Where an interrupted loop may go on after this step: what is worth saving.
    denoised
        The packed latents without noise that its last evaluation aimed at; not evaluated.
    reused
        Whether the step reused earlier results in place of each evaluation of the network.
    """

    number: int
    latents: mx.array
    resume: State
    denoised: mx.array
    reused: bool = False


def denoise(
    transformer: FluxTransformer,
    prepared: Prepared,
    state: State,
    sigmas: Sequence[float],
    noise: Noise,
    sampler: str = "euler",
    step_reuse: float = 0.0,
    scale: NoiseScale = PLAIN_SCALE,
) -> Iterator[SampleStep]:
    """Sample along the rectified flow: yield after each step.

    Lazy on a GPU: there nothing is computed until the caller evaluates the latents yielded, which is where
    it reports progress, previews, saves or stops.

    Parameters
    ----------
    transformer, prepared
        The network and what it prepared for this conditioning and size.
    state
        Where to begin: `State(0, sigmas[0] * noise)`, or a `SampleStep.resume` of an interrupted loop with
        the same arguments, from which the loop resumes to the same bits.
    sigmas
        Decreasing noise levels of the whole loop, the last 0.
    noise
        Standard normal noise in the shape of the latents by number of the draw, for samplers that add noise.
    sampler
        A name in `samplers.PLAIN_SAMPLERS`.
    step_reuse
        How much the network's input may change before it is run again; 0 runs it at every evaluation. See
        `step_reuse.StepReuse`.
    scale
        The model's, which samplers need that cannot begin at a level of 1.

    Yields
    ------
    SampleStep
        Its latents have the shape and dtype of `state.latents`.
    """
    row = SAMPLERS[sampler]
    levels = row.prepared(sigmas, scale)
    visited = row.visited(levels, scale)
    flow = _ModelFlow(transformer, prepared, levels, noise, step_reuse, scale, visited)
    steps, last = row.steps(flow.sigmas), flow.sigmas[-1]
    resume = state
    while state.step < steps:
        before, state = state, flow.step(row, state)
        if not step_reuse:
            resume = state
        elif not flow.reused[0]:
            resume = before  # The first evaluation ran the network, and so it will when begun there.
        is_closing = state.step == steps and last > 0
        latents = state.latents / (1 - last) if is_closing else state.latents
        assert flow.aimed_at is not None
        yield SampleStep(state.step, latents, resume, flow.aimed_at, all(flow.reused))


class _ModelFlow(Flow):
    """FLUX as a plain sampler's `Flow`.

    Attributes
    ----------
    reused
        For each evaluation of the step under way or just done, whether it reused an earlier result.
    aimed_at
        The latents without noise that the last evaluation points to.
    """

    def __init__(
        self,
        transformer: FluxTransformer,
        prepared: Prepared,
        sigmas: Sequence[float],
        noise: Noise,
        step_reuse: float,
        scale: NoiseScale,
        visited: Sequence[float],
    ) -> None:
        self.sigmas = sigmas
        self.scale = scale
        self.reused: list[bool] = []
        self.aimed_at: mx.array | None = None
        self._noise = noise
        self._is_last_step = False
        self._transformer = transformer
        self._prepared = prepared
        self._modulations = transformer.modulations(prepared, visited)
        self._reuse = StepReuse(transformer, prepared, step_reuse) if step_reuse else None

    def step(self, sampler: Sampler, state: State) -> State:
        self.reused = []
        self._is_last_step = state.step + 1 == sampler.steps(self.sigmas)
        return sampler.advance(self, state)

    def noise(self, draw: int) -> mx.array:
        return self._noise(draw)

    def velocity(self, latents: mx.array, sigma: float) -> mx.array:
        modulation = self._modulations.at(sigma)
        if self._reuse is None:
            velocity, reused = self._transformer.step(latents, modulation, self._prepared), False
        else:
            is_last = self._is_last_step or sigma <= self.sigmas[-2]
            velocity, reused = self._reuse.step(latents, modulation, is_last)
        self.reused.append(reused)
        velocity = velocity.astype(latents.dtype)
        self.aimed_at = latents - sigma * velocity
        return velocity
