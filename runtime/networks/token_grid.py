"""Resize a square grid of tokens, with the five kernels that ComfyUI's Redux nodes offer.

Each kernel equals ``torch.nn.functional.interpolate(size=(n, n), align_corners=False)`` without antialiasing.
All five are linear and separable, so a kernel is one small (n, m) matrix applied along both axes.
Row i of the matrix holds the weights of the m old positions in new position i.
"""

from __future__ import annotations

from functools import lru_cache

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.networks.cpu import new_array, uses_numpy
from run_graph.runtime.networks.threads import single_threaded_blas
from run_graph.runtime.networks.token_counts import KERNELS, Kernel, side_of

Array = npt.NDArray[np.float32]

_CUBIC_A = -0.75  # torch's choice for bicubic without antialiasing; PIL's is -0.5


def resize_grid(tokens: mx.array, n: int, kernel: Kernel = "area") -> mx.array:
    """Resize a row-major square grid of tokens to n x n.

    Parameters
    ----------
    tokens : mx.array
        ``(B, m * m, D)``, any floating dtype.
    n : int
        New side, at least 1. If it equals m, `tokens` is returned unchanged; a larger one enlarges.
    kernel : str
        One of `runtime.networks.token_counts.KERNELS`.

    Returns
    -------
    mx.array
        ``(B, n * n, D)`` in the dtype of `tokens`; sums are computed in float32.

    Raises
    ------
    ValueError
        If `tokens` is not three-dimensional, its tokens do not form a square, `n` is below 1, or `kernel` is
        unknown.
    """
    if tokens.ndim != 3:
        raise ValueError(f"tokens have shape (batch, tokens, width), not {tuple(tokens.shape)}")
    batch, count, width = tokens.shape
    m = side_of(count)
    matrix = resize_matrix(m, n, kernel)
    if n == m:
        return tokens
    grid = tokens.astype(mx.float32).reshape(batch, m, m, width)
    resized = _by_windows(matrix, grid) if uses_numpy(grid) else _by_matrix(mx.array(matrix), grid)
    return resized.reshape(batch, n * n, width).astype(tokens.dtype)


def _by_matrix(matrix: mx.array, grid: mx.array) -> mx.array:
    """Resize (B, m, m, D) to (B, n, n, D): rows, then columns."""
    batch, m, _, width = grid.shape
    rows = matrix @ grid.reshape(batch, m, m * width)
    return matrix @ rows.reshape(batch, -1, m, width)


def _by_windows(matrix: Array, grid: mx.array) -> mx.array:
    """The same on the CPU, which reads only the positions whose weights are not zero."""
    (batch, m, _, width), n = grid.shape, len(matrix)
    windows = [slice(taps[0], taps[-1] + 1) for taps in map(np.flatnonzero, matrix)]
    resized, output = new_array(batch, n, n, width)
    with single_threaded_blas:
        for old, new in zip(np.asarray(grid), output, strict=True):
            for i, rows in enumerate(windows):
                row = (matrix[i, rows] @ old[rows].reshape(-1, m * width)).reshape(m, width)
                for j, columns in enumerate(windows):
                    np.matmul(matrix[j, columns], row[columns], out=new[i, j])
    return resized


@lru_cache(maxsize=64)
def resize_matrix(m: int, n: int, kernel: Kernel) -> Array:
    """The read-only ``(n, m)`` float32 matrix that resizes one axis from m to n positions.

    Raises
    ------
    ValueError
        If `m` or `n` is below 1 or `kernel` is unknown.
    """
    if n < 1 or m < 1:
        raise ValueError(f"a token grid has at least 1 token per side; asked for {m} to {n}")
    if kernel == "area":
        matrix = _area(m, n)
    elif kernel in ("nearest", "nearest-exact"):
        matrix = _nearest(m, n, shift=0.5 if kernel == "nearest-exact" else 0.0)
    elif kernel == "bilinear":
        matrix = _bilinear(m, n)
    elif kernel == "bicubic":
        matrix = _bicubic(m, n)
    else:
        raise ValueError(f"interpolation {kernel!r} is unknown; choose one of {', '.join(KERNELS)}")
    matrix.flags.writeable = False
    return matrix


def _area(m: int, n: int) -> Array:
    """Adaptive average pooling: window i covers floor(i m / n) up to ceil((i + 1) m / n).

    The windows overlap unless n divides m.
    """
    i = np.arange(n)[:, None]
    start, end = i * m // n, -((i + 1) * m // -n)
    old = np.arange(m)
    inside = (old >= start) & (old < end)
    return (inside / (end - start)).astype(np.float32)


def _nearest(m: int, n: int, shift: float) -> Array:
    """Copy old position floor((i + shift) m / n), with the scale rounded to float32 first, as in torch."""
    scale = np.float32(m) / np.float32(n)
    position = (np.arange(n, dtype=np.float32) + np.float32(shift)) * scale
    taps = np.minimum(position.astype(np.int64), m - 1)
    return _scatter(taps[:, None], np.ones((n, 1)), m)


def _bilinear(m: int, n: int) -> Array:
    """Half-pixel centres; a centre before the first old position uses that position."""
    position = np.maximum(_centres(m, n), 0.0)
    low = position.astype(np.int64)
    t = position - low
    return _scatter(np.stack([low, low + 1], axis=1), np.stack([1 - t, t], axis=1), m)


def _bicubic(m: int, n: int) -> Array:
    """Cubic convolution (Keys, 1981) with a = -0.75 over four taps; taps past an edge repeat the edge."""
    position = _centres(m, n)
    low = np.floor(position).astype(np.int64)
    offsets = np.arange(-1, 3)
    distance = np.abs(position[:, None] - low[:, None] - offsets)
    a = _CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return _scatter(low[:, None] + offsets, np.where(distance <= 1, near, far), m)


def _centres(m: int, n: int) -> npt.NDArray[np.floating]:
    """The centres of n new positions on the axis of m old ones, in float32 as in torch."""
    scale = np.float32(m) / np.float32(n)
    return scale * (np.arange(n, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)


def _scatter(taps: npt.NDArray[np.int64], weights: npt.NDArray[np.floating], m: int) -> Array:
    """Sum ``(n, k)`` weights into a matrix at their ``(n, k)`` old positions, clamped to the axis."""
    matrix = np.zeros((len(taps), m))
    rows = np.arange(len(taps))[:, None]
    np.add.at(matrix, (rows, np.clip(taps, 0, m - 1)), weights)
    return matrix.astype(np.float32)
