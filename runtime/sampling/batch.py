"""A batch of pictures from noise to latents, in passes of as many pictures as memory has room for.

Picture i of a batch has the noise of seed + i, and is what sampling that seed alone gives, to rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from run_graph.runtime.networks.transformer import FluxTransformer, Prepared
from run_graph.runtime.sampling.flow import State
from run_graph.runtime.sampling.loop import denoise
from run_graph.runtime.sampling.noise import added_noise, initial_noise
from run_graph.runtime.sampling.samplers import SAMPLERS
from run_graph.runtime.sampling.schedules import PLAIN_SCALE, NoiseScale

# Numbers that a block holds at its peak, per token and channel of the width: the single block's queries,
# keys and values, its four times wider feed-forward before and after GELU, and both side by side.
PEAK_PER_CHANNEL = 24


@dataclass(frozen=True)
class Sampling:
    """How far a batch is. All that is needed to go on from there to the same bits.

    Attributes
    ----------
    latents
        (batch, tokens, 64) float32: of finished pictures, of those under way, and the noise of the rest.
    seed
        Of the first picture, 0 to 2**64 - 1; the others' follow it and wrap around.
    at_once
        Pictures a pass.
    finished
        Number of finished pictures, the first of the batch.
    step
        Number of finished steps of the pictures under way.
    history
        What the sampler remembers of them, (arrays, pictures under way, tokens, 64); None for nothing.
    """

    latents: mx.array
    seed: int
    at_once: int
    finished: int = 0
    step: int = 0
    history: mx.array | None = None

    @property
    def is_finished(self) -> bool:
        return self.finished == self.latents.shape[0]

    @property
    def under_way(self) -> mx.array:
        """Packed latents of the pass that comes next or is under way, (at most at_once, tokens, 64)."""
        return self.latents[self.finished : self.finished + self.at_once]

    @property
    def state(self) -> State:
        """Where the pass under way is."""
        return State(self.step, self.under_way, () if self.history is None else tuple(self.history))

    @property
    def passes(self) -> int:
        """How many passes the whole batch takes."""
        return -(-self.latents.shape[0] // self.at_once)

    def steps_done(self, steps: int) -> int:
        """Finished steps of all passes, if a pass takes `steps`."""
        return steps * -(-self.finished // self.at_once) + self.step

    def noise(self, draw: int) -> mx.array:
        """What a sampler adds to the pictures under way, each picture's from its own seed."""
        count, tokens, _ = self.under_way.shape
        seeds = ((self.seed + self.finished + index) % 2**64 for index in range(count))
        return mx.concatenate([added_noise(seed, draw, tokens) for seed in seeds])

    def at(self, state: State) -> "Sampling":
        """With the pictures under way in that state."""
        history = mx.stack(list(state.history)) if state.history else None
        return replace(self, latents=self._with(state.latents), step=state.step, history=history)

    def with_pass(self, latents: mx.array) -> "Sampling":
        """With the pictures under way finished as these latents."""
        finished = self.finished + latents.shape[0]
        return replace(self, latents=self._with(latents), finished=finished, step=0, history=None)

    def _with(self, under_way: mx.array) -> mx.array:
        rest = self.latents[self.finished + under_way.shape[0] :]
        return mx.concatenate([self.latents[: self.finished], under_way, rest])


@dataclass(frozen=True)
class Progress:
    """One finished step of one of the passes.

    Attributes
    ----------
    done, total
        Finished steps, and all steps, of all passes.
    latents
        Packed latents of the pictures under way, (at most at_once, tokens, 64).
    denoised
        What they aimed at, as `loop.SampleStep.denoised`; not evaluated.
    sampling
        Where an interrupted batch may go on after this step; after the last step, the finished batch.
    """

    done: int
    total: int
    latents: mx.array
    denoised: mx.array
    sampling: Sampling


def begin(seed: int, batch_size: int, width: int, height: int, at_once: int, level: float = 1.0) -> Sampling:
    """The noise of `batch_size` seeds from `seed` on, which wrap around after 2**64 - 1, at a noise level."""
    seeds = [(seed + index) % 2**64 for index in range(batch_size)]
    noise = mx.concatenate([initial_noise(each, width, height) for each in seeds])
    return Sampling(noise if level == 1 else level * noise, seed, at_once)


def sample(
    transformer: FluxTransformer,
    prepared: Prepared,
    sampling: Sampling,
    sigmas: Sequence[float],
    sampler: str = "euler",
    step_reuse: float = 0.0,
    scale: NoiseScale = PLAIN_SCALE,
) -> Iterator[Progress]:
    """Sample what is not finished yet: yield after each step.

    The caller evaluates the latents yielded, which is where it reports progress, saves or stops.
    Parameters are those of `denoise`.
    """
    steps = SAMPLERS[sampler].steps(sigmas)
    total = steps * sampling.passes
    while not sampling.is_finished:
        begun = sampling
        earlier = begun.steps_done(steps) - begun.step
        given = begun.state, sigmas, begun.noise, sampler, step_reuse, scale
        for step in denoise(transformer, prepared, *given):
            sampling = begun.at(step.resume) if step.number < steps else begun.with_pass(step.latents)
            yield Progress(earlier + step.number, total, step.latents, step.denoised, sampling)


def pictures_at_once(batch_size: int, spare_bytes: int, tokens: int, width: int, itemsize: int) -> int:
    """How many pictures to sample in one pass, at least 1.

    Parameters
    ----------
    batch_size
        How many there are.
    spare_bytes
        Memory that no weights take.
    tokens
        Length of one picture's sequence, text side and image side.
    width, itemsize
        Channels of a token, bytes of a number.
    """
    each = PEAK_PER_CHANNEL * tokens * width * itemsize
    return max(1, min(batch_size, spare_bytes // each))
