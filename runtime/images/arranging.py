"""Put pictures beside one another: into one batch, onto a larger canvas, into rows and columns.

Pictures are ``(B, H, W, C)`` with three channels, or four with alpha.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.batches import with_channels
from run_graph.runtime.images.choices import Colour, Direction
from run_graph.runtime.images.resizing import lanczos, scaled
from run_graph.runtime.images.room import require_room

Array = npt.NDArray[np.float32]

_COLOURS: dict[Colour, tuple[float, float, float]] = {
    "white": (1, 1, 1),
    "black": (0, 0, 0),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
}


def joined(first: Array, second: Array) -> Array:
    """One batch of both; pictures of another size are cut about the centre and resized to the first's."""
    channels = max(first.shape[3], second.shape[3])
    first, second = with_channels(first, channels), with_channels(second, channels)
    if first.shape[1:3] != second.shape[1:3]:
        second = scaled(second, first.shape[2], first.shape[1], "bilinear", "center")
    require_room((len(first) + len(second), *first.shape[1:]))
    return np.concatenate([first, second])


def extended(pixels: Array, left: int, top: int, right: int, bottom: int) -> Array:
    """Pictures with so many pixels of middle grey added on each side."""
    batch, height, width, channels = pixels.shape
    shape = (batch, top + height + bottom, left + width + right, channels)
    require_room(shape)
    canvas = np.full(shape, 0.5, np.float32)
    canvas[:, top : top + height, left : left + width] = pixels
    return canvas


def stitched(
    first: Array, second: Array, direction: Direction, match_size: bool, spacing: int, colour: Colour
) -> Array:
    """Pictures beside others.

    Parameters
    ----------
    first, second : float32 arrays (B, H, W, C)
        The shorter batch goes on with its last picture.
    direction : str
        Where the second goes.
    match_size : bool
        Whether the second is resized (Lanczos) to the shared side's length. Else the smaller one is centred,
        on white if the colour is white, on black otherwise.
    spacing : int
        Pixels between them; an odd number becomes the next even one.
    colour : str
        The colour between them.
    """
    count = max(len(first), len(second))
    across = direction in ("left", "right")
    if match_size:
        second = _as_long(second, first.shape[1 if across else 2], across)
    else:
        first, second = _centred(first, second, across, 1.0 if colour == "white" else 0.0)
    channels = max(first.shape[3], second.shape[3])
    parts = [with_channels(_continued(part, count), channels) for part in (first, second)]
    if spacing:
        width = spacing + spacing % 2
        shape = (count, first.shape[1], width) if across else (count, width, first.shape[2])
        between = np.ones((*shape, channels), np.float32)
        between[..., :3] = _COLOURS[colour]
        parts.insert(1, between)
    if direction in ("left", "up"):
        parts.reverse()
    axis = 2 if across else 1
    height, width = (parts[0].shape[1], sum(part.shape[2] for part in parts))
    if not across:
        height, width = (sum(part.shape[1] for part in parts), parts[0].shape[2])
    require_room((count, height, width, channels))
    return np.concatenate(parts, axis)


def _as_long(pixels: Array, length: int, across: bool) -> Array:
    """Pictures resized to this height, or to this width if not `across`."""
    ratio = pixels.shape[2] / pixels.shape[1]
    width, height = (int(length * ratio), length) if across else (length, int(length / ratio))
    return scaled(pixels, width, height, "lanczos")


def _centred(first: Array, second: Array, across: bool, grey: float) -> tuple[Array, Array]:
    """Both as high as the higher one, or as wide as the wider one if not `across`."""
    axis = 1 if across else 2
    length = max(first.shape[axis], second.shape[axis])

    def padded(pixels: Array) -> Array:
        missing = length - pixels.shape[axis]
        widths = [(0, 0)] * 4
        widths[axis] = (missing // 2, missing - missing // 2)
        return np.pad(pixels, widths, constant_values=grey)

    return padded(first), padded(second)


def _continued(pixels: Array, count: int) -> Array:
    return np.concatenate([pixels, np.repeat(pixels[-1:], count - len(pixels), 0)])


def grid(samples: npt.NDArray[Any], columns: int, width: int, height: int, padding: int) -> Array:
    """The pictures of a batch, each resized (Lanczos) to a cell, row by row on black; alpha is dropped."""
    rows = ceil(len(samples) / columns)
    shape = (1, rows * (height + padding) - padding, columns * (width + padding) - padding, 3)
    require_room(shape)
    canvas = np.zeros(shape, np.float32)
    for index, picture in enumerate(samples):
        top, left = index // columns * (height + padding), index % columns * (width + padding)
        canvas[0, top : top + height, left : left + width] = lanczos(picture[None], width, height)[0, ..., :3]
    return canvas
