"""Where in a picture, how strongly and when an entry of a conditioning acts. No model, no weights.

An entry covers the whole latent picture or a box of it; within it each cell has a weight. The predictions of
all entries are averaged with these weights. These are the rules of ComfyUI 0.33.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from run_graph.runtime.conditioning import Entry
from run_graph.runtime.images.interpolation import resize

Array = npt.NDArray[np.float32]

_FADE = 8  # cells over which an area's weight falls off towards an edge inside the picture
_SMALLEST_SIDE = 8  # of the box around a mask, in cells


class Box(NamedTuple):
    """A rectangle of a latent picture, in cells."""

    height: int
    width: int
    top: int
    left: int

    def contains(self, other: Box) -> bool:
        """Whether another box lies within this one."""
        return (
            other.top >= self.top
            and other.left >= self.left
            and self.top + self.height >= other.top + other.height
            and self.left + self.width >= other.left + other.width
        )


@dataclass(frozen=True, eq=False)
class Placed:
    """An entry at its place in a latent picture of a certain size.

    Attributes
    ----------
    entry : Entry
    box : Box or None
        None: the whole picture.
    mask : float32 array or None
        ``(B, h, w)`` for the whole picture.
    """

    entry: Entry
    box: Box | None = None
    mask: Array | None = None

    def weights(self, height: int, width: int) -> Array | float:
        """The weight of each cell of the box, ``(B or 1, h, w, 1)``; a number if all have the same."""
        strength = self.entry.strength
        if self.mask is not None:
            return _cut(self.mask, self.box)[..., None] * np.float32(self.entry.mask_strength * strength)
        if self.box is None:
            return strength
        rows = _ramp(self.box.height, self.box.top, height)
        columns = _ramp(self.box.width, self.box.left, width)
        return (rows[:, None] * columns)[None, ..., None] * np.float32(strength)


def place(entries: Sequence[Entry], height: int, width: int) -> list[Placed]:
    """The entries in a latent picture of these sizes, in cells."""
    return [_place(entry, height, width) for entry in entries]


def with_same_areas(entries: list[Placed], others: Sequence[Placed]) -> list[Placed]:
    """The entries, and for each area of the other side a copy of the smallest entry that covers it.

    So a prediction and its negative exist for the same cells.
    """
    found = list(entries)
    for other in others:
        if other.box is None:
            continue
        smallest = _smallest_around(found, other.box)
        if smallest is not None and smallest.box != other.box:
            found.append(replace(smallest, box=other.box))
    return found


def _smallest_around(entries: Sequence[Placed], box: Box) -> Placed | None:
    smallest: Placed | None = None
    for each in entries:
        if each.box is None:
            smallest = smallest or each
        elif each.box.contains(box) and (
            smallest is None
            or smallest.box is None
            or each.box.height * each.box.width < smallest.box.height * smallest.box.width
        ):
            smallest = each
    return smallest


def _place(entry: Entry, height: int, width: int) -> Placed:
    mask = None if entry.mask is None else resized_mask(np.asarray(entry.mask), height, width)
    if mask is not None and entry.mask_bounds:
        return Placed(entry, _bounds(mask), mask)
    return Placed(entry, _box(entry, height, width), mask)


def _box(entry: Entry, height: int, width: int) -> Box | None:
    if entry.area is None:
        return None
    if entry.area_is_share:
        h, w, y, x = entry.area
        return Box(max(1, round(h * height)), max(1, round(w * width)), round(y * height), round(x * width))
    return Box(*(int(side) for side in entry.area))


def _bounds(mask: Array) -> Box:
    """The box around all cells of a mask that are not 0, of at least 8 cells a side."""
    rows, columns = np.nonzero(np.abs(mask).max(axis=0))
    if not rows.size:
        return Box(_SMALLEST_SIDE, _SMALLEST_SIDE, 0, 0)
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) - top + 1, int(columns.max()) - left + 1
    return Box(max(_SMALLEST_SIDE, height), max(_SMALLEST_SIDE, width), top, left)


def resized_mask(mask: Array, height: int, width: int) -> Array:
    """A mask ``(B, H, W)`` at a latent picture's size: bilinear, without antialiasing."""
    return resize(mask, height, width, "bilinear")


def _cut(values: Array, box: Box | None) -> Array:
    if box is None:
        return values
    return values[:, box.top : box.top + box.height, box.left : box.left + box.width]


def _ramp(length: int, start: int, whole: int) -> Array:
    """Weights along one side of an area: 1, falling off towards an edge that is not the picture's."""
    weights = np.ones(length, np.float32)
    fade = min(_FADE, length // 4)
    steps = np.arange(1, fade + 1, dtype=np.float32) / np.float32(max(fade, 1))
    if start != 0:
        weights[:fade] *= steps
    if start + length < whole:
        weights[length - fade :] *= steps[::-1]
    return weights
