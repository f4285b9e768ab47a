"""Compute a large picture in overlapping tiles of three shapes, and average: ComfyUI's tiled autoencoding.

The picture is computed three times, with square tiles, with tiles twice as wide and half as high, and with
tiles half as wide and twice as high, so that no seam is at the same place in all three. Where tiles overlap,
the weight of each rises in equal steps from its edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import count, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

OnTile = Callable[[int, int], None]


class Tiling(NamedTuple):
    """Height and width of tiles, and by how much neighbours overlap."""

    height: int
    width: int
    overlap: int

    def spans(self, shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
        """The rows and columns of each tile of a picture ``(H, W, ...)``."""
        rows = _spans(shape[0], self.height, self.overlap)
        return list(product(rows, _spans(shape[1], self.width, self.overlap)))


def tilings(side: int, overlap: int) -> tuple[Tiling, ...]:
    """The three tilings.

    Raises
    ------
    ValueError
        If half of a side is not longer than the overlap.
    """
    if side // 2 <= overlap:
        raise ValueError(
            "the tiles overlap by half of their side or more; make tile_size more than twice the overlap"
        )
    shapes = ((side, side), (side // 2, side * 2), (side * 2, side // 2))
    return tuple(Tiling(height, width, overlap) for height, width in shapes)


def average(
    pictures: Array,
    compute: Callable[[Array], Array],
    tiles: Sequence[Tiling],
    scale: Fraction,
    channels: int,
    on_tile: OnTile = lambda done, total: None,
) -> Array:
    """What `compute` makes of pictures, computed in the tiles of each tiling and averaged.

    Parameters
    ----------
    pictures : float32 array (B, H, W, C)
    compute
        From a tile ``(h, w, C)`` to ``(h * scale, w * scale, channels)``.
    tiles : sequence of Tiling
    scale : Fraction
        By how much results are larger.
    channels : int
        Of the results.
    on_tile
        Called after each tile with the number of tiles done and the total.

    Returns
    -------
    float32 array (B, H * scale, W * scale, channels)
    """
    total = len(pictures) * sum(len(tiling.spans(pictures.shape[1:])) for tiling in tiles)
    finished = count(1)

    def counted(tile: Array) -> Array:
        result = compute(tile)
        on_tile(next(finished), total)
        return result

    averages = []
    for picture in pictures:
        computed = [_blended(picture, counted, tiling, scale, channels) for tiling in tiles]
        averages.append(np.sum(computed, axis=0) / np.float32(len(computed)))
    return np.stack(averages)


def _blended(
    picture: Array, compute: Callable[[Array], Array], tiling: Tiling, scale: Fraction, channels: int
) -> Array:
    """What `compute` makes of a picture in the tiles of one tiling."""
    height, width = (round(side * scale) for side in picture.shape[:2])
    total = np.zeros((height, width, channels), np.float32)
    weight = np.zeros((height, width, 1), np.float32)
    for rows, columns in tiling.spans(picture.shape):
        part = compute(picture[rows, columns])
        top, left = (round(span.start * scale) for span in (rows, columns))
        place = slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
        own = _weights(part.shape[:2], round(tiling.overlap * scale))
        total[place] += part * own
        weight[place] += own
    return np.divide(total, weight, out=total)


def _spans(length: int, tile: int, overlap: int) -> list[slice]:
    starts = range(0, length - overlap, tile - overlap) if length > tile else (0,)
    return [slice(start, min(start + tile, length)) for start in starts]


def _weights(shape: tuple[int, ...], ramp: int) -> Array:
    """A tile's weights ``(h, w, 1)``, which rise from all four edges over `ramp` samples, if it has more."""
    rows, columns = (_rising(length, ramp if ramp < length else 0) for length in shape)
    weights: Array = (rows[:, None] * columns)[..., None]
    return weights


def _rising(length: int, ramp: int) -> Array:
    weights = np.ones(length, np.float32)
    steps = np.arange(1, ramp + 1, dtype=np.float32) / np.float32(max(ramp, 1))
    weights[:ramp] *= steps
    weights[length - ramp :] *= steps[::-1]
    return weights
