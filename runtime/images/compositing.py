"""Lay pictures over one another.

Pictures are ``(B, H, W, C)`` with three channels, or four with alpha.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.batches import fitting_batches, repeated, with_channels
from run_graph.runtime.images.choices import BlendMode
from run_graph.runtime.images.interpolation import resize
from run_graph.runtime.images.resizing import scaled

Array = npt.NDArray[np.float32]


def with_alpha(pixels: Array, mask: Array) -> Array:
    """Pictures with a mask as their transparency, resized to fit; an alpha channel they have is replaced.

    The longer batch counts; the other starts again.
    """
    count = max(len(pixels), len(mask))
    alpha = 1 - resize(mask, pixels.shape[1], pixels.shape[2], "bilinear")
    return np.concatenate([repeated(pixels, count)[..., :3], repeated(alpha, count)[..., None]], -1)


def composited(
    destination: Array,
    source: Array,
    x: int,
    y: int,
    mask: Array | None = None,
    resize_source: bool = False,
) -> Array:
    """Arrays ``(B, H, W, C)`` with others laid over them, from column `x` and row `y` on.

    Parameters
    ----------
    destination : float32 array (B, H, W, C)
    source : float32 array (B', h, w, C)
        Of another length, its batch is cut or starts again. What does not fit is left out.
    x, y : int
        At least 0.
    mask : float32 array (B'', H', W'), optional
        How much of the source is seen, 0..1; resized to the source. Default: all of it.
    resize_source : bool
        Whether the source is first resized to the destination.
    """
    if resize_source:
        source = resize(source, destination.shape[1], destination.shape[2], "bilinear")
    source = repeated(source, len(destination))
    result = destination.copy()
    below = result[:, y : y + source.shape[1], x : x + source.shape[2]]
    above = source[:, : below.shape[1], : below.shape[2]]
    if mask is None:
        below[...] = above
        return result
    shown = resize(mask, source.shape[1], source.shape[2], "bilinear")
    shown = repeated(shown, len(source))[..., None]
    shown = shown[:, : below.shape[1], : below.shape[2]]
    below[...] = shown * above + (1 - shown) * below
    return result


def blended(first: Array, second: Array, amount: float, mode: BlendMode) -> Array:
    """Pictures mixed with others, clipped to 0..1. An alpha channel is mixed like the others.

    Others of another size are cut about the centre and resized.

    Raises
    ------
    ValueError
        If the batches have different lengths, neither of which is 1.
    """
    fitting_batches(first, second)
    second = with_channels(second, first.shape[3])
    if first.shape[1:3] != second.shape[1:3]:
        second = scaled(second, first.shape[2], first.shape[1], "bicubic", "center")
    share = np.float32(amount)
    return np.clip(first * (1 - share) + _mixed(first, second, mode) * share, 0, 1)


def _mixed(a: Array, b: Array, mode: BlendMode) -> Array:
    """`b` over `a` by the W3C's formulas (Compositing and Blending, 10), but with a signed difference."""
    if mode == "normal":
        return b
    if mode == "multiply":
        return a * b
    if mode == "screen":
        return 1 - (1 - a) * (1 - b)
    if mode == "overlay":
        return np.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))
    if mode == "difference":
        return a - b
    lighter = np.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, np.sqrt(np.maximum(a, 0)))
    return np.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (lighter - a))
