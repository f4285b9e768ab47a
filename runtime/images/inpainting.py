"""Prepare pictures ``(B, H, W, 3)`` and masks ``(B, H, W)`` whose masked part is painted again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

GREY = np.float32(0.5)


def greyed(pixels: Array, mask: Array) -> Array:
    """Pictures, grey where their masks, rounded, are 1.

    Raises
    ------
    ValueError
        If there are neither as many masks as pictures nor one.
    """
    if len(mask) not in (1, len(pixels)):
        raise ValueError(f"{len(mask)} masks do not fit {len(pixels)} pictures; give as many, or one")
    kept = (1 - np.rint(mask))[..., None]
    result: Array = (pixels - GREY) * kept + GREY
    return result


def grown_to_squares(mask: Array, side: int) -> Array:
    """Masks rounded to 0 and 1, with each masked pixel grown to a square of this side.

    A square of even side reaches one pixel less towards the start than towards the end. Sides of 0 and 1
    leave the pixels as they are.
    """
    grown: Array = np.rint(mask)
    if side <= 1:
        return grown
    before = side // 2
    for axis in (1, 2):
        widths = [(0, 0)] * 3
        widths[axis] = (before, before)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(grown, widths), side, axis)
        grown = windows.max(-1)[tuple(slice(length) for length in mask.shape)]
    return grown
