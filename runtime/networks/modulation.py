"""How a noise level modulates every block of FLUX's transformer: shift, scale and gate vectors.

The vectors depend on the noise level, the pooled prompt and the guidance, not on the picture, and the layers
that compute them hold a quarter of FLUX.1's weights. So the vectors of many steps are computed at once, which
reads those weights once, and are passed to the blocks.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks.elementwise import silu

LEVELS_AT_ONCE = 16  # Noise levels in a portion: 34 MB for FLUX.1 in bfloat16.
FREQUENCIES = 128  # of the sinusoidal embedding of sigma and guidance

Layer = Callable[[mx.array], mx.array]


class Modulation(NamedTuple):
    """Concatenated vectors, (B, 1, parts * width) each; for several noise levels, with a leading axis.

    Attributes
    ----------
    joint
        For each joint block, of the image side and of the text side: shift, scale and gate of the attention,
        then of the feed-forward.
    single
        For each single block: shift, scale and gate.
    out
        Scale and shift before the last projection.
    """

    joint: tuple[tuple[mx.array, mx.array], ...]
    single: tuple[mx.array, ...]
    out: mx.array

    def at(self, index: int) -> "Modulation":
        """The vectors of one of several noise levels."""
        return Modulation(
            tuple((image[index], text[index]) for image, text in self.joint),
            tuple(vectors[index] for vectors in self.single),
            self.out[index],
        )


class Modulations(Protocol):
    """The vectors of any noise level of a run."""

    def at(self, sigma: float) -> Modulation:
        """The vectors at a noise level, 0 to 1."""


class ModulationsInMemory:
    """`Modulations` by layers that are in memory, computed for several levels at once.

    Parameters
    ----------
    module
        mflux's `Transformer`.
    embedding
        Of the pooled prompt and the guidance, (B, width).
    sigmas
        The noise levels that the run visits. Levels in between cost a pass of their own.
    dtype
        The model's.
    """

    def __init__(self, module: Any, embedding: mx.array, sigmas: Sequence[float], dtype: mx.Dtype) -> None:
        self._module = module
        self._embedding = embedding
        self._sigmas = sigmas
        self._dtype = dtype
        self._indices = {sigma: index for index, sigma in enumerate(sigmas)}
        self._first = -1  # index of the first level of the portion in memory
        self._portion: Modulation | None = None

    def at(self, sigma: float) -> Modulation:
        """The vectors at a noise level, 0 to 1.

        Portions begin at multiples of `LEVELS_AT_ONCE`, wherever the run began: a run that resumes in the
        middle gets the same bits.
        """
        index = self._indices.get(sigma)
        if index is None:
            return self._computed([sigma]).at(0)
        first = index - index % LEVELS_AT_ONCE
        if self._portion is None or first != self._first:
            self._first = first
            self._portion = self._computed(self._sigmas[first : first + LEVELS_AT_ONCE])
        return self._portion.at(index - first)

    def _computed(self, sigmas: Sequence[float]) -> Modulation:
        return modulate_blocks(self._module, condition(self._module, self._embedding, sigmas, self._dtype))


def condition(module: Any, embedding: mx.array, sigmas: Sequence[float], dtype: mx.Dtype) -> mx.array:
    """What the layers get for an embedding (B, width) at these noise levels: (levels, B, 1, width)."""
    noise = embed(module.time_text_embed.timestep_embedder, sinusoids(sigmas, dtype))
    return silu(embedding + noise[:, None])[:, :, None]


def modulate_blocks(module: Any, condition: mx.array) -> Modulation:
    """The vectors of every block of mflux's `Transformer` for a condition (levels, B, 1, width)."""
    return Modulation(
        joint=tuple(
            (block.norm1.linear(condition), block.norm1_context.linear(condition))
            for block in module.transformer_blocks
        ),
        single=tuple(block.norm.linear(condition) for block in module.single_transformer_blocks),
        out=module.norm_out.linear(condition),
    )


def embed(embedder: Any, x: mx.array) -> mx.array:
    """Apply one of mflux's two-layer embedders: of the noise level, the guidance or the pooled prompt."""
    embedded: mx.array = embedder.linear_2(silu(embedder.linear_1(x)))
    return embedded


def sinusoids(values: Sequence[float], dtype: mx.Dtype) -> mx.array:
    """Embed sigmas or guidances: cosines then sines of 1000 * value at 128 frequencies, (values, 256)."""
    # Angles reach thousands of radians, where float32's rounding is visible. The reference rounds the
    # exponents, the frequencies and the angles to float32, so exactly those are rounded here.
    exponents = np.float32(-math.log(10_000)) * np.arange(FREQUENCIES, dtype=np.float32) / FREQUENCIES
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    scaled = (1000 * np.asarray(values, np.float64)).astype(np.float32)
    angles = (scaled[:, None] * frequencies).astype(np.float64)
    return mx.array(np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).astype(dtype)
