"""What a noise level says to every block of FLUX's transformer: shift, scale and gate vectors.

They depend on the noise level, the pooled prompt and the guidance, not on the picture, and the layers that
make them hold a quarter of FLUX.1's weights. So they are computed for many steps at once, reading those
weights once, and the blocks are handed vectors.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks.elementwise import silu

FREQUENCIES = 128  # of the sinusoidal embedding of sigma and guidance


class Modulation(NamedTuple):
    """Vectors side by side, (B, 1, parts * width) each; for several noise levels, with an axis in front.

    Attributes
    ----------
    joint
        For each joint block the image side's and the text side's: shift, scale, gate of the attention, then
        of the feed-forward.
    single
        For each single block: shift, scale, gate.
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
    """One of mflux's two-layer embedders: of the noise level, the guidance or the pooled prompt."""
    embedded: mx.array = embedder.linear_2(silu(embedder.linear_1(x)))
    return embedded


def sinusoids(values: Sequence[float], dtype: mx.Dtype) -> mx.array:
    """Embed sigmas or guidances: cosines then sines of 1000 * value at 128 frequencies, (values, 256)."""
    # An angle may be thousands of radians, where float32's rounding shows. The reference rounds the
    # exponents, the frequencies and the angles to float32, so these are rounded there and only there.
    exponents = np.float32(-math.log(10_000)) * np.arange(FREQUENCIES, dtype=np.float32) / FREQUENCIES
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    scaled = (1000 * np.asarray(values, np.float64)).astype(np.float32)
    angles = (scaled[:, None] * frequencies).astype(np.float64)
    return mx.array(np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).astype(dtype)
