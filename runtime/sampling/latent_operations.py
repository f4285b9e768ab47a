"""Operations on latent pictures, as ComfyUI's nodes do them: resized, mixed, laid over one another, batched.

All take and return numpy arrays ``(B, h, w, C)`` of float32, one cell for 8 x 8 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.batches import fitting_batches, repeated
from run_graph.runtime.images.choices import Crop, LatentMethod
from run_graph.runtime.images.compositing import composited
from run_graph.runtime.images.interpolation import taps
from run_graph.runtime.images.resizing import centre, scaled
from run_graph.runtime.images.room import require_room

Array = npt.NDArray[np.float32]

CELL = 8
"""Pixels per side of a cell of a latent picture."""

# Vectors whose directions differ by less, or are opposite to within this, are not turned into each other.
_SAME_DIRECTION = 1e-5

_SMALLEST_CROP = 8


# -- size -------------------------------------------------------------------------------------------


def resized(latents: Array, width: int, height: int, method: LatentMethod, crop: Crop = "disabled") -> Array:
    """Latents in another size, in cells.

    Parameters
    ----------
    latents : float32 array (B, h, w, C)
    width, height : int
    method : str
        A kernel of torch's `interpolate`, or "bislerp": between neighbours, direction and length of the
        vector of channels change evenly, along the width and then along the height.
    crop : {"disabled", "center"}
        As for :func:`runtime.images.resizing.scaled`.

    Raises
    ------
    ValueError
        If a side would have no cell, or the result takes more than half of the machine's memory.
    """
    if width < 1 or height < 1:
        raise ValueError(f"the latent picture would have {width} x {height} cells; ask for a larger size")
    require_room((len(latents), height, width, latents.shape[3]), "latent cells")
    if method != "bislerp":
        return scaled(latents, width, height, method, crop)
    if crop == "center":
        latents = centre(latents, width / height)
    return _turned_along(_turned_along(latents, 2, width), 1, height)


def pixels_given_or_kept(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """The new width and height in pixels of a latent picture of this ``(width, height)`` in cells.

    A side that is 0 keeps the ratio; none becomes shorter than 64 pixels.
    """
    if width == 0:
        height = max(64, height)
        width = round(size[0] * height / size[1])
    elif height == 0:
        width = max(64, width)
        height = round(size[1] * width / size[0])
    return max(64, width), max(64, height)


def cut(latents: Array, width: int, height: int, x: int, y: int) -> Array:
    """A rectangle, given in cells; its sides have 8 or more.

    It begins 8 cells before the far edges at the latest. One that reaches beyond an edge ends there, and
    begins earlier by what is left of the excess after whole steps of 8.
    """
    rows, columns = _interval(y, height, latents.shape[1]), _interval(x, width, latents.shape[2])
    return latents[:, rows, columns].copy()


def _interval(start: int, length: int, size: int) -> slice:
    start = min(start, size - _SMALLEST_CROP)
    end = start + length
    if end > size:
        start, end = start - (end - size) % _SMALLEST_CROP, size
    return slice(start, end)  # Before 0 it counts from the end, as ComfyUI's does.


def _turned_along(latents: Array, axis: int, n: int) -> Array:
    """Latents with n cells along an axis: each is between two old ones, at bilinear positions."""
    positions, weights = taps(latents.shape[axis], n, "bilinear")
    first, second = (np.take(latents, positions[:, index], axis) for index in (0, 1))
    beside = [-1 if each == axis else 1 for each in range(latents.ndim)]
    return between(first, second, weights[:, 1].reshape(beside))


def between(first: Array, second: Array, share: Array) -> Array:
    """Vectors between others (spherical interpolation, Shoemake 1985, with the lengths mixed linearly).

    Parameters
    ----------
    first, second : float32 arrays (..., C)
    share : float32 array (..., 1)
        0 gives the first, 1 the second. Vectors of the same direction give the first; opposite ones are mixed
        linearly.
    """
    lengths = [np.linalg.norm(each, axis=-1, keepdims=True) for each in (first, second)]
    directions = [_unit_vectors(each, length) for each, length in zip((first, second), lengths, strict=True)]
    cosine = (directions[0] * directions[1]).sum(-1, keepdims=True)
    angle = np.arccos(np.clip(cosine, -1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = (
            np.sin((1 - share) * angle) / np.sin(angle) * directions[0]
            + np.sin(share * angle) / np.sin(angle) * directions[1]
        )
    mixed = turned * (lengths[0] * (1 - share) + lengths[1] * share)
    mixed = np.where(cosine > 1 - _SAME_DIRECTION, first, mixed)
    return np.where(cosine < _SAME_DIRECTION - 1, first * (1 - share) + second * share, mixed)


def _unit_vectors(vectors: Array, lengths: Array) -> Array:
    """Vectors of length 1; those of length 0 stay 0."""
    made: Array = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths != 0)
    return made


# -- two latents ------------------------------------------------------------------------------------


def like(latents: Array, other: Array, whole_batch: bool = True) -> Array:
    """Latents in the size of others: cut about the centre and resized (bilinear).

    Parameters
    ----------
    latents, other : float32 arrays (B, h, w, C)
    whole_batch : bool
        Whether the batch is cut, or starts again, so that there are as many as of the others.

    Raises
    ------
    ValueError
        If they have another number of channels.
    """
    require_same_channels(latents, other)
    if latents.shape[1:3] != other.shape[1:3]:
        latents = resized(latents, other.shape[2], other.shape[1], "bilinear", "center")
    return repeated(latents, len(other)) if whole_batch else latents


def require_same_channels(first: Array, second: Array) -> None:
    """Raise ValueError if latents have different numbers of channels."""
    if first.shape[3] != second.shape[3]:
        raise ValueError(
            f"latents of {first.shape[3]} and {second.shape[3]} channels do not fit together; FLUX.1's have "
            "16, as EmptySD3LatentImage makes them"
        )


def interpolated(first: Array, second: Array, ratio: float) -> Array:
    """Directions and lengths of the vectors of channels mixed; `ratio` is the share of the first."""
    share = np.float32(ratio)
    lengths = [np.linalg.norm(each, axis=-1, keepdims=True) for each in (first, second)]
    mixed = _unit_vectors(first, lengths[0]) * share + _unit_vectors(second, lengths[1]) * (1 - share)
    direction = _unit_vectors(mixed, np.linalg.norm(mixed, axis=-1, keepdims=True))
    result: Array = direction * (lengths[0] * share + lengths[1] * (1 - share))
    return result


def blended(first: Array, second: Array, share: float) -> Array:
    """Latents mixed; `share` is that of the first. Others of another size are cut and resized (bicubic).

    Raises
    ------
    ValueError
        If the batches have different lengths, neither of which is 1, or the channels differ.
    """
    require_same_channels(first, second)
    fitting_batches(first, second)
    if first.shape[1:3] != second.shape[1:3]:
        second = resized(second, first.shape[2], first.shape[1], "bicubic", "center")
    mixed: Array = first * np.float32(share) + second * np.float32(1 - share)
    return mixed


def laid_over(below: Array, above: Array, x: int, y: int, feather: int) -> Array:
    """Latents with others laid over them; positions and lengths are in cells.

    What does not fit is left out. The upper ones fade over `feather` cells along each of their edges that
    does not lie on the picture's edge.

    Raises
    ------
    ValueError
        If there are neither as many above as below nor one, or the channels differ.
    """
    require_same_channels(below, above)
    if len(above) not in (1, len(below)):
        raise ValueError(
            f"batches of {len(below)} and {len(above)} do not fit together; give as many above, or one"
        )
    result = below.copy()
    place = result[:, y : y + above.shape[1], x : x + above.shape[2]]
    above = above[:, : place.shape[1], : place.shape[2]]
    rows = _fade(above.shape[1], feather, y > 0, y + above.shape[1] < below.shape[1])
    columns = _fade(above.shape[2], feather, x > 0, x + above.shape[2] < below.shape[2])
    shown = (rows[:, None] * columns)[None, :, :, None]
    place[...] = above * shown + place * (1 - shown)
    return result


def _fade(length: int, count: int, at_start: bool, at_end: bool) -> Array:
    """Weights along an axis that rise from 1/count to 1 at its start, and fall so at its end."""
    weights = np.ones(length, np.float32)
    for step in range(count):
        factor = np.float32((step + 1) / count)
        if at_start:
            weights[step : step + 1] *= factor
        if at_end:
            # In a ramp longer than the axis ComfyUI's cells go round from its start; these do too.
            weights[length - 1 - step : length - step] *= factor
    return weights


def laid_over_masked(
    below: Array, above: Array, x: int, y: int, mask: Array | None, resize_above: bool
) -> Array:
    """Latents with others laid over them; see :func:`runtime.images.compositing.composited`.

    Raises
    ------
    ValueError
        If the channels differ.
    """
    require_same_channels(below, above)
    return composited(below, above, x, y, mask, resize_above)


# -- batches ----------------------------------------------------------------------------------------


def picked(batch: npt.NDArray[np.float32], start: int, length: int, count: int) -> npt.NDArray[np.float32]:
    """The masks of some of `count` pictures: a single mask is every picture's, too few start again."""
    return batch if len(batch) == 1 else repeated(batch, max(count, len(batch)))[start : start + length]


def first_picked(start: int, count: int) -> int:
    """The place in a batch of `count` that a number from the start, or a negative one from the end, means."""
    return max(0, min(count - 1, start + count if start < 0 else start))


def numbered_on(index: Sequence[int], amount: int) -> tuple[int, ...]:
    """Places in a batch, repeated: each time they go on behind the highest."""
    offset = max(index) - min(index) + 1
    return tuple(place + repetition * offset for repetition in range(amount) for place in index)
