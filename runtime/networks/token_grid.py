"""Resize a square grid of tokens, with the five kernels that ComfyUI's Redux nodes offer."""

from __future__ import annotations

import mlx.core as mx

from run_graph.runtime.images.choices import Kernel
from run_graph.runtime.images.interpolation import resize_matrix
from run_graph.runtime.networks.cpu import product
from run_graph.runtime.networks.token_counts import side_of


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
    matrix = mx.array(resize_matrix(m, n, kernel))
    if n == m:
        return tokens
    rows = product(matrix, tokens.astype(mx.float32).reshape(batch, m, m * width))
    grid = product(matrix, rows.reshape(batch, n, m, width))
    return grid.reshape(batch, n * n, width).astype(tokens.dtype)
