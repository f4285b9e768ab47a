"""Resize a square grid of tokens, with the five kernels that ComfyUI's Redux nodes offer."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.choices import Kernel
from run_graph.runtime.images.interpolation import resize_matrix
from run_graph.runtime.networks.cpu import new_array, uses_numpy
from run_graph.runtime.networks.threads import single_threaded_blas
from run_graph.runtime.networks.token_counts import side_of

Array = npt.NDArray[np.float32]


def resize_grid(tokens: mx.array, n: int, kernel: Kernel = "area") -> mx.array:
    """Resize a row-major square grid of tokens to n x n.

    Parameters
    ----------
    tokens : mx.array
        ``(B, m * m, D)``, any floating dtype.
    n : int
        New side, at least 1. If it equals m, `tokens` is returned unchanged; a larger one enlarges.
    kernel : str
        One of `runtime.images.choices.KERNELS`.

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
