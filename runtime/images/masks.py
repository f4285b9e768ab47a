"""Masks: arrays ``(B, H, W)`` of 0..1, where 1 is masked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.batches import fitting_batches
from run_graph.runtime.images.choices import CHANNELS, Channel, MaskOperation
from run_graph.runtime.values import eight_bit, unit

Array = npt.NDArray[np.float32]


def grown(mask: Array, pixels: int, tapered: bool) -> Array:
    """Masks with their masked part grown by so many pixels, or shrunk by a negative number.

    It grows a pixel at a time, towards the four neighbours if `tapered`, so that corners stay slanted, else
    towards all eight.
    """
    step = np.maximum if pixels > 0 else np.minimum
    for _ in range(abs(pixels)):
        larger = _grown_once(mask, step, tapered)
        if np.array_equal(larger, mask):  # nothing is left to grow
            break
        mask = larger
    return mask


def _grown_once(mask: Array, step: Any, tapered: bool) -> Array:
    larger = mask.copy()
    step(larger[:, 1:], mask[:, :-1], out=larger[:, 1:])
    step(larger[:, :-1], mask[:, 1:], out=larger[:, :-1])
    beside = mask if tapered else larger.copy()
    step(larger[:, :, 1:], beside[:, :, :-1], out=larger[:, :, 1:])
    step(larger[:, :, :-1], beside[:, :, 1:], out=larger[:, :, :-1])
    return larger


def feathered(mask: Array, left: int, top: int, right: int, bottom: int) -> Array:
    """Masks that fade towards their edges, over so many pixels from each: by 1/n, 2/n, ... from outside."""
    height, width = mask.shape[1:]
    rows = _ramp(height, top) * _ramp(height, bottom)[::-1]
    columns = _ramp(width, left) * _ramp(width, right)[::-1]
    faded: Array = mask * rows[:, None] * columns
    return faded


def _ramp(length: int, count: int) -> Array:
    count = min(count, length)
    ramp = np.ones(length, np.float32)
    ramp[:count] = np.arange(1, count + 1, dtype=np.float32) / np.float32(max(count, 1))
    return ramp


def combined(destination: Array, source: Array, x: int, y: int, operation: MaskOperation) -> Array:
    """Masks with another's laid on from column `x` and row `y` on, clipped to 0..1.

    What does not fit is left out. The logical operations round both to 0 or 1 first; a half becomes 0.

    Raises
    ------
    ValueError
        If the batches have different lengths, neither of which is 1.
    """
    result = destination.copy()
    below = result[:, y : y + source.shape[1], x : x + source.shape[2]]
    above = source[:, : below.shape[1], : below.shape[2]]
    fitting_batches(below, above)
    if len(below) == 1 < len(above):
        raise ValueError(f"{len(above)} masks cannot be combined into one; give as many destination masks")
    below[...] = _operate(below, above, operation)
    return np.clip(result, 0, 1)


def _operate(below: Array, above: Array, operation: MaskOperation) -> npt.NDArray[Any]:
    if operation == "multiply":
        return below * above
    if operation == "add":
        return below + above
    if operation == "subtract":
        return below - above
    logical = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[operation]
    result: npt.NDArray[np.bool_] = logical(np.rint(below), np.rint(above))
    return result


def of_colour(samples: npt.NDArray[Any], colour: int) -> Array:
    """1 where pictures ``(B, H, W, C)``, rounded to 8 bits, are exactly 0xRRGGBB; alpha does not count."""
    wanted = np.array([colour >> 16, colour >> 8 & 255, colour & 255], np.uint8)
    equal: npt.NDArray[np.bool_] = (eight_bit(samples[..., :3]) == wanted).all(-1)
    return equal.astype(np.float32)


def of_channel(samples: npt.NDArray[Any], channel: Channel) -> Array:
    """A channel of pictures ``(B, H, W, C)``.

    Raises
    ------
    ValueError
        If they do not have it.
    """
    index = CHANNELS.index(channel)
    if index >= samples.shape[3]:
        raise ValueError(
            "these pictures have no alpha channel; choose another channel, or take the mask of LoadImage, "
            "which is 1 where the file is transparent"
        )
    return unit(samples[..., index]).copy()


def as_picture(mask: Array) -> Array:
    """Masks as grey pictures ``(B, H, W, 3)``."""
    return np.repeat(mask[..., None], 3, axis=-1)


def of_outpainting(
    height: int, width: int, left: int, top: int, right: int, bottom: int, feathering: int
) -> Array:
    """The mask ``(1, H, W)`` of a picture extended by so many pixels on each side.

    It is 1 outside the picture and 0 inside. Where the picture is extended, it falls within the edge's first
    `feathering` pixels as the square of the distance left; not so if these are half of a side or more.
    """
    mask = np.ones((1, top + height + bottom, left + width + right), np.float32)
    inside = np.zeros((height, width), np.float32)
    if 0 < 2 * feathering < min(height, width):
        rows = _to_edges(height, top, bottom, feathering)[:, None]
        columns = _to_edges(width, left, right, feathering)
        inside = np.square(1 - np.minimum(rows, columns) / np.float32(feathering))
    mask[:, top : top + height, left : left + width] = inside
    return mask


def _to_edges(length: int, before: int, after: int, most: int) -> Array:
    """How far each pixel of a side is from those of its ends that are extended; at most `most`."""
    distance = np.full(length, most, np.float32)
    places = np.arange(length, dtype=np.float32)
    if before:
        distance = np.minimum(distance, places)
    return np.minimum(distance, length - places) if after else distance
