"""Rotary position embedding (RoFormer, arXiv 2104.09864) over FLUX's three position axes.

A token's position is (0, 0, 0) on the text side and (0, row, column) on the image side. Each axis rotates
its own share of a head's channels, in adjacent pairs: channels 2i and 2i + 1 are one complex number.
"""

from collections.abc import Sequence
from functools import partial

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks import cpu
from run_graph.runtime.networks.elementwise import fused

THETA = 10_000.0


def positions(text_tokens: int, image: np.ndarray) -> np.ndarray:
    """Positions of the sequence [text | image]: (text_tokens + image tokens, 3) float64."""
    return np.concatenate([np.zeros((text_tokens, 3)), image])


def image_positions(size: tuple[int, int], references: Sequence[tuple[int, int]] = ()) -> np.ndarray:
    """Positions of image tokens, row-major, and of reference pictures beside the image: (tokens, 3) float64.

    References have 1 on the first axis and begin at the image's own corner; each further one lies to the
    right of those before it or below them, whichever keeps the whole shorter (FLUX.1 Kontext; ComfyUI's
    ``offset``).

    Parameters
    ----------
    size
        Rows and columns of the image.
    references
        Rows and columns of each reference picture.
    """
    found = [_grid(*size, 0, 0, 0)]
    height = width = 0
    for rows, columns in references:
        below, right = (0, width) if rows + height > columns + width else (height, 0)
        found.append(_grid(rows, columns, 1, below, right))
        height, width = max(height, rows + below), max(width, columns + right)
    return np.concatenate(found)


def _grid(rows: int, columns: int, first: int, top: int, left: int) -> np.ndarray:
    grid = np.full((rows, columns, 3), float(first))
    grid[..., 1] = top + np.arange(rows)[:, None]
    grid[..., 2] = left + np.arange(columns)[None, :]
    return grid.reshape(-1, 3)


def rotations(position: np.ndarray, axes: Sequence[int]) -> tuple[mx.array, mx.array]:
    """Cosine and sine of every pair's angle.

    Pair i of an axis has the angle position / THETA ** (2 i / channels of the axis). It is computed in
    float64, as in the reference, and once per picture, since it is the same in all steps and layers.

    Parameters
    ----------
    position
        (N, len(axes)).
    axes
        Number of a head's channels that belong to each axis, all even; their sum is the head's width d.

    Returns
    -------
    tuple of mx.array
        cos and sin, (N, d / 2) float32 each.
    """
    angles = [
        position[:, axis, None] * THETA ** (-np.arange(0, channels, 2) / channels)
        for axis, channels in enumerate(axes)
    ]
    angle = np.concatenate(angles, axis=1)
    return mx.array(np.cos(angle).astype(np.float32)), mx.array(np.sin(angle).astype(np.float32))


def rotate(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    """Rotate queries or keys x (B, heads, N, d) by cos, sin (N, d / 2), in float32; returns x's dtype."""
    computed = cpu.rotate(x, cos, sin)
    return _rotate(x, cos, sin) if computed is None else computed


@partial(fused, shapeless=False)
def _rotate(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    pairs = x.astype(mx.float32).reshape(*x.shape[:-1], -1, 2)
    real, imaginary = pairs[..., 0], pairs[..., 1]
    rotated = mx.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], axis=-1)
    return rotated.reshape(x.shape).astype(x.dtype)
