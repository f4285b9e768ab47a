"""Modulation of FLUX's transformer: the shift, scale and gate vectors of every block at a noise level.

The vectors depend on the noise level, the pooled prompt and the guidance, but not on the picture. The layers
that compute them hold a quarter of FLUX.1's weights. The vectors are therefore computed for many steps at
once, which reads those weights only once, and are then passed to the blocks.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks.elementwise import silu

LEVELS_AT_ONCE = 16  # Noise levels computed together: 34 MB for FLUX.1 in bfloat16.
FREQUENCIES = 128  # of the sinusoidal embedding of sigma and guidance


class Modulation(NamedTuple):
    """Concatenated vectors, (B, 1, parts * width) each; with a leading axis if for several noise levels.

    Attributes
    ----------
    joint
        For each joint block, the vectors of the image side and of the text side. Each is shift, scale and
        gate of the attention, then of the feed-forward: 6 parts.
    single
        For each single block, shift, scale and gate: 3 parts.
    out
        Scale and shift before the last projection: 2 parts.
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


class Modulations:
    """The vectors for each noise level of a run, computed for several levels at once.

    Parameters
    ----------
    module
        mflux's `Transformer`.
    embedding
        Embedding of the pooled prompt and the guidance, (B, width).
    sigmas
        The noise levels that the run visits. Any other level is computed separately.
    dtype
        The model's dtype.
    """

    def __init__(self, module: Any, embedding: mx.array, sigmas: Sequence[float], dtype: mx.Dtype) -> None:
        self._module = module
        self._embedding = embedding
        self._sigmas = sigmas
        self._dtype = dtype
        self._indices = {sigma: index for index, sigma in enumerate(sigmas)}
        self._first = -1  # index of the first level of the chunk in memory
        self._chunk: Modulation | None = None

    def at(self, sigma: float) -> Modulation:
        """The vectors at a noise level, 0 to 1.

        Chunks begin at multiples of `LEVELS_AT_ONCE` wherever the run begins, so that a run resumed in the
        middle computes exactly the same bits.
        """
        index = self._indices.get(sigma)
        if index is None:
            return self._computed([sigma]).at(0)
        first = index - index % LEVELS_AT_ONCE
        if self._chunk is None or first != self._first:
            self._first = first
            self._chunk = self._computed(self._sigmas[first : first + LEVELS_AT_ONCE])
        return self._chunk.at(index - first)

    def _computed(self, sigmas: Sequence[float]) -> Modulation:
        noise = embed(self._module.time_text_embed.timestep_embedder, sinusoids(sigmas, self._dtype))
        return modulate_blocks(self._module, self._embedding + noise[:, None])


def modulate_blocks(module: Any, embedding: mx.array) -> Modulation:
    """The vectors of every block of mflux's `Transformer` for embeddings (steps, B, width)."""
    condition = silu(embedding)[:, :, None]
    return Modulation(
        joint=tuple(
            (block.norm1.linear(condition), block.norm1_context.linear(condition))
            for block in module.transformer_blocks
        ),
        single=tuple(block.norm.linear(condition) for block in module.single_transformer_blocks),
        out=module.norm_out.linear(condition),
    )


def embed(embedder: Any, x: mx.array) -> mx.array:
    """Apply one of mflux's two-layer embedders (for noise level, guidance or pooled prompt) to x."""
    embedded: mx.array = embedder.linear_2(silu(embedder.linear_1(x)))
    return embedded


def sinusoids(values: Sequence[float], dtype: mx.Dtype) -> mx.array:
    """Embed sigmas or guidances: cosines then sines of 1000 * value at 128 frequencies, (values, 256)."""
    # Angles can be thousands of radians, where float32's rounding matters. The reference rounds exponents,
    # frequencies and angles to float32, so this code rounds at exactly those places.
    exponents = np.float32(-math.log(10_000)) * np.arange(FREQUENCIES, dtype=np.float32) / FREQUENCIES
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    scaled = (1000 * np.asarray(values, np.float64)).astype(np.float32)
    angles = (scaled[:, None] * frequencies).astype(np.float64)
    return mx.array(np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).astype(dtype)
