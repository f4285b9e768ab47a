"""The denoising loop, its initial noise, and the packing of latents into tokens.

A latent picture is (B, height / 8, width / 8, 16). FLUX's transformer sees it packed: every 2 x 2 square
becomes a token of 64 channels ordered (channel, row, column), row-major, so (B, height/16 * width/16, 64).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx

from run_graph.runtime.networks.transformer import FluxTransformer, Prepared
from run_graph.runtime.sampling.step_reuse import StepReuse


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
