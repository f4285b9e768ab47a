"""The denoising loop, its initial noise, and the packing of latents into tokens.

A latent picture is (B, height / 8, width / 8, 16). FLUX's transformer sees it packed: every 2 x 2 square
becomes a token of 64 channels ordered (channel, row, column), row-major, so (B, height/16 * width/16, 64).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx

from runtime.models.step_reuse import StepReuse
from runtime.models.transformer import FluxTransformer, Prepared


def initial_noise(seed: int, width: int, height: int) -> mx.array:
    """Standard normal packed latents, (1, height/16 * width/16, 64) float32.

    The same as mflux's for the same seed and size, so that its users' seeds give their pictures here too.
    `width` and `height` are pixels, multiples of 16.
    """
    return mx.random.normal((1, (height // 16) * (width // 16), 64), key=mx.random.key(seed))


@dataclass(frozen=True)
class Point:
    """A place in the loop: begun there, `denoise` gives to the bit what an unbroken loop gives.

    Attributes
    ----------
    step
        Number of steps done.
    latents
        Packed latents after them, (B, h * w, 64).
    """

    step: int
    latents: mx.array


@dataclass(frozen=True)
class Step:
    """One step done.

    Attributes
    ----------
    number
        Number of steps done, from 1.
    latents
        Packed latents after them, (B, h * w, 64).
    restart
        Where a loop that is broken off after this step may go on: what is worth saving.
    reused
        Whether the step reused an earlier one's result instead of running the network.
    """

    number: int
    latents: mx.array
    restart: Point
    reused: bool = False


def denoise(
    transformer: FluxTransformer,
    prepared: Prepared,
    latents: mx.array,
    sigmas: Sequence[float],
    start: int = 0,
    step_reuse: float = 0.0,
) -> Iterator[Step]:
    """Euler's method along the rectified flow: yield after each step.

    Lazy on a GPU: there nothing is computed until the caller evaluates the latents yielded, which is where
    it reports progress, previews, saves or stops.

    Parameters
    ----------
    transformer, prepared
        The network and what it prepared for this conditioning and size.
    latents
        Packed latents at noise level `sigmas[start]`, (B, h * w, 64).
    sigmas
        Decreasing noise levels of the whole loop, the last 0.
    start
        Number of steps that `latents` has behind it; see `Step.restart`.
    step_reuse
        How much the network's input may change before it is run again; 0 runs it at every step. See
        `step_reuse.StepReuse`.

    Yields
    ------
    Step
        Its latents have the shape and dtype of `latents`.
    """
    levels, count = list(pairwise(sigmas)), len(sigmas) - 1
    modulations = transformer.modulations(prepared, sigmas[:-1], start)
    reuse = StepReuse(transformer, prepared, step_reuse) if step_reuse else None
    restart = Point(start, latents)
    for number, modulation in enumerate(modulations, start=start + 1):
        reused = False
        if reuse is None:
            velocity = transformer.step(latents, modulation, prepared)
        else:
            before = Point(number - 1, latents)
            velocity, reused = reuse.step(latents, modulation, is_last=number == count)
            restart = restart if reused else before
        sigma, following = levels[number - 1]
        latents = latents + (following - sigma) * velocity.astype(latents.dtype)
        yield Step(number, latents, Point(number, latents) if reuse is None else restart, reused)


def unpack(latents: mx.array, width: int, height: int) -> mx.array:
    """Packed (B, height/16 * width/16, 64) -> (B, height/8, width/8, 16); sizes in pixels."""
    rows, columns = height // 16, width // 16
    squares = latents.reshape(-1, rows, columns, 16, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return squares.reshape(-1, rows * 2, columns * 2, 16)


def pack(latents: mx.array) -> mx.array:
    """(B, h, w, 16) with h and w even -> packed (B, h/2 * w/2, 64); the inverse of `unpack`."""
    batch, height, width, channels = latents.shape
    squares = latents.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    return squares.reshape(batch, (height // 2) * (width // 2), channels * 4)
