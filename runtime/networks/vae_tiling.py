"""Decode a latent picture in overlapping tiles: less peak memory, nearly the same picture.

Tiles are placed and blended as in mflux's VAETiler, so that both programs give the same picture. They overlap
by 64 pixels, across which one tile fades into the next along half a cosine. Convolutions, group norm and
attention see only the tile, so colours and contrast differ slightly from a picture decoded whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.networks.vae import decode

Pixels = npt.NDArray[np.float32]

SCALE = 8  # Side of one latent pixel, in pixels.
OVERLAP = 64  # Pixels that neighbouring tiles share.
SMALLEST_TILE = 2 * OVERLAP


class Span(NamedTuple):
    """A tile's range along one axis, in latent pixels; `end` is exclusive."""

    start: int
    end: int


def decode_tiled(
    module: Any,
    config: Mapping[str, Any],
    latents: mx.array,
    tile_size: int,
    on_tile: Callable[[int, int], None] = lambda done, total: None,
) -> Pixels:
    """Decode latents to a picture, with one tile in memory at a time.

    Parameters
    ----------
    module, config, latents
        As for `vae.decode`; latents are (B, h, w, 16).
    tile_size
        Side of a tile in pixels: at least 128, a multiple of 16.
    on_tile
        Called after each tile with the number of tiles done and the total number of tiles.

    Returns
    -------
    numpy array
        (B, 8 h, 8 w, 3) float32 in [0, 1].

    Raises
    ------
    ValueError
        If the tile size is below 128 or not a multiple of 16.
    """
    if tile_size < SMALLEST_TILE or tile_size % (2 * SCALE):
        raise ValueError(f"tile_size is {tile_size}; it must be a multiple of 16, at least {SMALLEST_TILE}")
    batch, height, width, _ = latents.shape
    rows, columns = spans(height, tile_size // SCALE), spans(width, tile_size // SCALE)
    total = batch * len(rows) * len(columns)
    canvas = np.zeros((batch, SCALE * height, SCALE * width, 3), dtype=np.float32)
    for done, (index, row, column) in enumerate(_tiles(batch, rows, columns), start=1):
        tile = latents[index : index + 1, row.start : row.end, column.start : column.end]
        weights = _weights(row, height)[:, None, None] * _weights(column, width)[None, :, None]
        canvas[index, _pixels(row), _pixels(column)] += np.array(decode(module, config, tile)[0]) * weights
        mx.clear_cache()
        on_tile(done, total)
    return np.clip(canvas, 0, 1)


def spans(length: int, tile: int) -> list[Span]:
    """Tiles of `tile` latent pixels along an axis of `length` latent pixels; the last may be shorter."""
    overlap = OVERLAP // SCALE
    starts = range(0, max(length - overlap, 1), tile - overlap)
    return [Span(start, min(start + tile, length)) for start in starts]


def _tiles(batch: int, rows: list[Span], columns: list[Span]) -> Iterator[tuple[int, Span, Span]]:
    return ((index, row, column) for index in range(batch) for row in rows for column in columns)


def _pixels(span: Span) -> slice:
    return slice(SCALE * span.start, SCALE * span.end)


def _weights(span: Span, length: int) -> Pixels:
    """A tile's weight at each of its pixels along one axis; the weights of all tiles add up to 1."""
    weights = np.ones(SCALE * (span.end - span.start), dtype=np.float32)
    rising = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, OVERLAP, dtype=np.float32))
    if span.start > 0:
        weights[:OVERLAP] = rising
    if span.end < length:
        weights[-OVERLAP:] = 1 - rising
    return weights
