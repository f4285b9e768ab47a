"""A reference picture's tokens appended to a prompt's: how strongly, how many, and which part of the picture.

The formulas are those of ComfyUI's StyleModelApply and of kaibioinfo's ComfyUI_AdvancedRefluxControl (MIT).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.conditioning import Entry
from run_graph.runtime.images.antialiased import resized
from run_graph.runtime.images.choices import Kernel
from run_graph.runtime.images.interpolation import resize_matrix
from run_graph.runtime.networks.token_counts import side_of
from run_graph.runtime.networks.token_grid import resize_grid

Array = npt.NDArray[np.float32]
Mode = Literal["center crop (square)", "keep aspect ratio", "autocrop with mask"]

FACTORS = {"highest": 1, "high": 2, "medium": 3, "low": 4, "lowest": 5}
"""What StyleModelApplySimple divides each side of the token grid by."""


def with_tokens(entry: Entry, tokens: mx.array, strength: float = 1.0) -> Entry:
    """The entry with tokens (1, n, D) after its own.

    ``strength`` is how much attention the prompt, earlier pictures' tokens and the image pay to them:
    ln(strength) is added to the logits. 0 hides them. What they themselves see does not change.
    """
    joined = mx.concatenate([entry.tokens, tokens.astype(entry.tokens.dtype)], axis=1)
    bias = entry.attention_bias
    if bias is not None or strength != 1:
        bias = _with_columns(bias, entry.tokens.shape[1], tokens.shape[1], strength)
    return replace(entry, tokens=joined, attention_bias=bias)


def _with_columns(
    bias: npt.NDArray[np.float16] | None, before: int, new: int, strength: float
) -> npt.NDArray[np.float16]:
    """A bias (1, before + 1, before + 1) with room for new tokens between the old ones and the image."""
    size = before + new + 1
    wider = np.zeros((1, size, size), np.float16)
    old = np.array([*range(before), size - 1])
    if bias is not None:
        wider[:, old[:, None], old] = bias
    wider[:, old, before : before + new] = -math.inf if strength == 0 else math.log(strength)
    return wider


def simple(tokens: mx.array, strength: str) -> mx.array:
    """Fewer tokens (1, T, D): a side of the grid divided by 1 to 5, by averaging for 3, else bicubic."""
    factor = FACTORS[strength]
    if factor == 1:
        return tokens
    side = side_of(tokens.shape[1])
    return resize_grid(tokens, side // factor, "area" if factor == 3 else "bicubic")


def advanced(tokens: mx.array, mask: Array | None, factor: float, kernel: Kernel, weight: float) -> mx.array:
    """ReduxAdvanced's tokens.

    Parameters
    ----------
    tokens : array (1, T, D)
    mask : float32 array (m, m), optional
        How much of each token's patch is wanted; those of 0 or less are left out.
    factor : float
        What each side of the grid is divided by.
    kernel : str
        How the smaller grid is computed.
    weight : float
        Its square is a factor on the tokens.
    """
    side = side_of(tokens.shape[1])
    if factor > 1:
        if mask is not None:
            tokens = tokens * mx.array(mask.reshape(1, -1, 1)).astype(tokens.dtype)
        smaller = round(side / factor)
        tokens = resize_grid(tokens, smaller, kernel)
        if mask is not None:
            matrix = resize_matrix(side, smaller, "area")
            mask = np.asarray(matrix @ mask @ matrix.T, np.float32)
    tokens = tokens * (weight * weight)
    if mask is None:
        return tokens
    kept = np.flatnonzero(mask.reshape(-1) > 0)
    if not kept.size:
        raise ValueError("the mask leaves no part of the picture; give a mask that is not empty")
    return tokens[:, mx.array(kept)]


def framed(
    pixels: Array, mask: Array | None, mode: Mode, margin: float, size: int
) -> tuple[Array, Array | None]:
    """The part of a picture that the vision tower sees, as a square.

    Parameters
    ----------
    pixels : float32 array (H, W, 3)
    mask : float32 array (H, W), optional
        What of it is wanted.
    mode : str
        The middle square; the whole on a black ground; or the box around the mask on a black ground.
    margin : float
        Share of the sides by which the box is enlarged.
    size : int
        The side of the square in pixels.

    Returns
    -------
    pixels, mask
        ``(size, size, 3)``, not clipped, and ``(size, size)``; without a mask, None for the middle square.
    """
    if mode == "center crop (square)":
        return _middle(pixels, mask, size)
    if mode == "autocrop with mask":
        if mask is None or not mask.any():
            raise ValueError("'autocrop with mask' needs a mask that is not empty; link one")
        top, left, bottom, right = _box(mask, margin, size)
        pixels, mask = pixels[top:bottom, left:right], mask[top:bottom, left:right]
    return _letterboxed(pixels, np.ones(pixels.shape[:2], np.float32) if mask is None else mask, size)


def patch_mask(mask: Array, side: int) -> Array:
    """The largest value of a square mask in each patch, (side, side)."""
    patch = mask.shape[0] // side
    whole = mask[: patch * side, : patch * side]
    largest: Array = whole.reshape(side, patch, side, patch).max(axis=(1, 3))
    return largest


def _middle(pixels: Array, mask: Array | None, size: int) -> tuple[Array, Array | None]:
    height, width = pixels.shape[:2]
    ratio = size / min(height, width)
    h, w = round(height * ratio), round(width * ratio)
    top, left = (h - size) // 2, (w - size) // 2
    rows, columns = slice(top, top + size), slice(left, left + size)
    picture = resized(pixels, h, w, rows, columns)
    return picture, None if mask is None else _mask_resized(mask, h, w)[rows, columns]


def _letterboxed(pixels: Array, mask: Array, size: int) -> tuple[Array, Array]:
    height, width = pixels.shape[:2]
    ratio = size / max(height, width)
    h, w = round(height * ratio), round(width * ratio)
    top, left = (size - h) // 2, (size - w) // 2
    picture, shown = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
    picture[top : top + h, left : left + w] = resized(pixels, h, w)
    shown[top : top + h, left : left + w] = _mask_resized(mask, h, w)
    return picture, shown


def _mask_resized(mask: Array, height: int, width: int) -> Array:
    rows, columns = (
        resize_matrix(mask.shape[0], height, "bicubic"),
        resize_matrix(mask.shape[1], width, "bicubic"),
    )
    return np.asarray(rows @ mask @ columns.T, np.float32)


def _box(mask: Array, margin: float, size: int) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the box around the mask, enlarged towards a square."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    spans = [
        _with_margin(int(columns.min()), int(columns.max()), math.ceil(margin * width), width),
        _with_margin(int(rows.min()), int(rows.max()), math.ceil(margin * height), height),
    ]
    edge = max(size, *(end - start for start, end in spans))
    (left, right), (top, bottom) = (
        _enlarged(start, end, edge, whole) for (start, end), whole in zip(spans, (width, height), strict=True)
    )
    return top, left, bottom, right


def _with_margin(first: int, last: int, margin: int, whole: int) -> tuple[int, int]:
    return max(0, first - margin), min(whole, last + margin)


def _enlarged(start: int, end: int, length: int, whole: int) -> tuple[int, int]:
    """A span of at least this length, on both sides where there is room."""
    missing = length - (end - start)
    if missing <= 0:
        return start, end
    before = min(missing // 2, start)
    after = min(missing - before, whole - end)
    before += min(missing - (before + after), start - before)
    return max(0, start - before), min(whole, end + after)
