"""A batch of pictures from noise to latents, in passes of as many pictures as memory has room for.

Picture i of a batch has the noise of seed + i, and is what sampling that seed alone gives, to rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx

from run_graph.runtime.networks.transformer import FluxTransformer, Prepared
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.sampling.samplers import Point, denoise

# Numbers that a block holds at its peak, per token and channel of the width: the single block's queries,
# keys and values, its four times wider feed-forward before and after GELU, and both side by side.
PEAK_PER_CHANNEL = 24


@dataclass(frozen=True)
class Sampling:
    """How far a batch is. All that is needed to go on from there and come to the same bits.

    Attributes
    ----------
    latents
        (batch, h * w, 64) float32: of finished pictures, of those under way, and the noise of the rest.
    at_once
        Pictures a pass.
    finished
        Number of finished pictures, the first of the batch.
    step
        Number of steps that the pictures under way have behind them.
    """

    latents: mx.array
    at_once: int
    finished: int = 0
    step: int = 0

    @property
    def is_finished(self) -> bool:
        return self.finished == self.latents.shape[0]

    @property
    def under_way(self) -> mx.array:
        """Packed latents of the pass that comes next or is under way, (at most at_once, h * w, 64)."""
        return self.latents[self.finished : self.finished + self.at_once]

    @property
    def passes(self) -> int:
        """How many passes the whole batch takes."""
        return -(-self.latents.shape[0] // self.at_once)

    def steps_done(self, steps: int) -> int:
        """Steps that lie behind, of all passes, if a pass takes `steps`."""
        return steps * -(-self.finished // self.at_once) + self.step

    def at(self, point: Point) -> "Sampling":
        """With the pictures under way at that point."""
        return replace(self, latents=self._with(point.latents), step=point.step)

    def with_pass(self, latents: mx.array) -> "Sampling":
        """With the pictures under way finished as these latents."""
        finished = self.finished + latents.shape[0]
        return replace(self, latents=self._with(latents), finished=finished, step=0)

    def _with(self, under_way: mx.array) -> mx.array:
        behind = self.latents[self.finished + under_way.shape[0] :]
        return mx.concatenate([self.latents[: self.finished], under_way, behind])


@dataclass(frozen=True)
class Advance:
    """One step done in one of the passes.

    Attributes
    ----------
    done, total
        Steps done, and of all passes.
    latents
        Packed latents of the pictures under way, (at most at_once, h * w, 64).
    sampling
        Where sampling may go on if it is broken off here; after the last step, the finished batch.
    """

    done: int
    total: int
    latents: mx.array
    sampling: Sampling


def begin(seed: int, batch_size: int, width: int, height: int, at_once: int) -> Sampling:
    """The noise of `batch_size` seeds from `seed` on, which begin anew behind 2**64 - 1."""
    seeds = [(seed + index) % 2**64 for index in range(batch_size)]
    noise = mx.concatenate([initial_noise(each, width, height) for each in seeds])
    return Sampling(noise, at_once)


def sample(
    transformer: FluxTransformer,
    prepared: Prepared,
    sampling: Sampling,
    sigmas: Sequence[float],
    step_reuse: float = 0.0,
) -> Iterator[Advance]:
    """Sample what is not finished yet: yield after each step.

    The caller evaluates the latents yielded, which is where it reports progress, saves or stops.
    Parameters are those of `denoise`.
    """
    steps = len(sigmas) - 1
    total = steps * sampling.passes
    while not sampling.is_finished:
        begun = sampling
        behind = begun.steps_done(steps) - begun.step
        for step in denoise(transformer, prepared, begun.under_way, sigmas, begun.step, step_reuse):
            sampling = begun.at(step.restart) if step.number < steps else begun.with_pass(step.latents)
            yield Advance(behind + step.number, total, step.latents, sampling)


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
