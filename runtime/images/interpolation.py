"""Resize a grid of samples along its axes, with torch's kernels.

Each kernel equals ``torch.nn.functional.interpolate(size=..., align_corners=False)`` without antialiasing.
All are linear and separable: a new position is a weighted sum of a few old ones, its *taps*.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.choices import KERNELS, Kernel

Array = npt.NDArray[np.float32]

_CUBIC_A = -0.75  # torch's choice for bicubic without antialiasing; PIL's is -0.5


class Taps(NamedTuple):
    """Which old positions a new one is made of.

    Attributes
    ----------
    positions : int array (n, k)
        Of n new positions on the axis of the old ones.
    weights : float32 array (n, k)
        They add up to 1 in each row.
    """

    positions: npt.NDArray[np.int64]
    weights: Array


def resize(grid: npt.NDArray[np.floating], height: int, width: int, kernel: Kernel) -> Array:
    """Resize pictures.

    Parameters
    ----------
    grid : float array
        ``(B, H, W, ...)``.
    height, width : int
        The new size, at least 1.
    kernel : str

    Returns
    -------
    float32 array
        ``(B, height, width, ...)``.
    """
    resized = grid.astype(np.float32, copy=False)
    axes = ((1, height), (2, width))
    # The axis that shrinks more goes first: less is left for the other.
    for axis, size in sorted(axes, key=lambda each: each[1] / grid.shape[each[0]]):
        resized = _along(resized, axis, size, kernel)
    return resized


def _along(grid: Array, axis: int, n: int, kernel: Kernel) -> Array:
    if grid.shape[axis] == n:  # all kernels leave a grid of the same size as it is
        return grid
    positions, weights = taps(grid.shape[axis], n, kernel)
    if positions.shape[1] == 1:
        return np.take(grid, positions[:, 0], axis)
    beside = [-1 if each == axis else 1 for each in range(grid.ndim)]
    total = np.take(grid, positions[:, 0], axis) * weights[:, 0].reshape(beside)
    for position, weight in zip(positions.T[1:], weights.T[1:], strict=True):
        total += np.take(grid, position, axis) * weight.reshape(beside)
    return total


@lru_cache(maxsize=64)
def resize_matrix(m: int, n: int, kernel: Kernel) -> Array:
    """The read-only ``(n, m)`` float32 matrix that resizes one axis from m to n positions.

    Row i holds the weights of the m old positions in new position i.

    Raises
    ------
    ValueError
        If `m` or `n` is below 1 or `kernel` is unknown.
    """
    positions, weights = taps(m, n, kernel)
    matrix = np.zeros((n, m))
    np.add.at(matrix, (np.arange(n)[:, None], positions), weights)
    made = matrix.astype(np.float32)
    made.flags.writeable = False
    return made


@lru_cache(maxsize=64)
def taps(m: int, n: int, kernel: Kernel) -> Taps:
    """The taps of n new positions on an axis of m old ones.

    Raises
    ------
    ValueError
        If `m` or `n` is below 1 or `kernel` is unknown.
    """
    if n < 1 or m < 1:
        raise ValueError(f"a grid has at least 1 token or pixel per side; asked for {m} to {n}")
    if kernel == "area":
        positions, weights = _area(m, n)
    elif kernel in ("nearest", "nearest-exact"):
        positions, weights = _nearest(m, n, shift=0.5 if kernel == "nearest-exact" else 0.0)
    elif kernel == "bilinear":
        positions, weights = _bilinear(m, n)
    elif kernel == "bicubic":
        positions, weights = _bicubic(m, n)
    else:
        raise ValueError(f"interpolation {kernel!r} is unknown; choose one of {', '.join(KERNELS)}")
    return Taps(np.clip(positions, 0, m - 1), weights.astype(np.float32))


_Unclamped = tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]


def _area(m: int, n: int) -> _Unclamped:
    """Adaptive average pooling: window i covers floor(i m / n) up to ceil((i + 1) m / n).

    The windows overlap unless n divides m.
    """
    i = np.arange(n)[:, None]
    start, end = i * m // n, -((i + 1) * m // -n)
    positions = start + np.arange(int((end - start).max()))
    return positions, (positions < end) / (end - start)


def _nearest(m: int, n: int, shift: float) -> _Unclamped:
    """Copy old position floor((i + shift) m / n), with the scale rounded to float32 first, as in torch."""
    scale = np.float32(m) / np.float32(n)
    position = (np.arange(n, dtype=np.float32) + np.float32(shift)) * scale
    return position.astype(np.int64)[:, None], np.ones((n, 1))


def _bilinear(m: int, n: int) -> _Unclamped:
    """Half-pixel centres; a centre before the first old position uses that position."""
    position = np.maximum(_centres(m, n), 0.0)
    low = position.astype(np.int64)
    t = position - low
    return np.stack([low, low + 1], axis=1), np.stack([1 - t, t], axis=1)


def _bicubic(m: int, n: int) -> _Unclamped:
    """Cubic convolution (Keys, 1981) with a = -0.75 over four taps; taps past an edge repeat the edge."""
    position = _centres(m, n)
    low = np.floor(position).astype(np.int64)
    offsets = np.arange(-1, 3)
    distance = np.abs(position[:, None] - low[:, None] - offsets)
    a = _CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return low[:, None] + offsets, np.where(distance <= 1, near, far)


def _centres(m: int, n: int) -> npt.NDArray[np.floating]:
    """The centres of n new positions on the axis of m old ones, in float32 as in torch."""
    scale = np.float32(m) / np.float32(n)
    return scale * (np.arange(n, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
