"""Convolutions of FLUX's autoencoder: each 3 x 3 with what comes before and after it.

Pictures are channels-last, (B, H, W, C), as MLX's convolutions are.
"""

from typing import Any, Literal, NamedTuple

import mlx.core as mx

from run_graph.runtime.networks import cpu_convolution
from run_graph.runtime.networks.cpu import uses_numpy
from run_graph.runtime.networks.elementwise import silu

NORM_EPS = 1e-6

Resize = Literal["double", "halve"]


class GroupNorm(NamedTuple):
    """Group norm over contiguous runs of C / groups channels and all positions."""

    weight: mx.array
    bias: mx.array
    groups: int


class Skip(NamedTuple):
    """A residual connection: `x`, through the 1 x 1 convolution `layer` if there is one, is added."""

    x: mx.array
    layer: Any = None


def convolve(
    layer: Any,
    x: mx.array,
    *,
    norm: GroupNorm | None = None,
    resize: Resize | None = None,
    skip: Skip | None = None,
) -> mx.array:
    """Apply a 3 x 3 convolution to x (B, H, W, C).

    Parameters
    ----------
    layer
        MLX's `Conv2d`, of stride 1 and padding 1; of stride 2 and without padding to halve.
    x
        The picture, (B, H, W, C).
    norm
        Group norm and SiLU are applied first.
    resize
        "double" repeats every row and column first. "halve" pads one row and one column at the far edges, as
        in the autoencoder's training, and takes every other position; H and W are even.
    skip
        Added to the result.
    """
    if uses_numpy(x, layer.weight):
        return cpu_convolution.convolve(layer, x, norm, NORM_EPS, resize, skip)
    if norm is not None:
        x = silu(group_norm(x, norm))
    if resize == "double":
        x = _double(x)
    elif resize == "halve":
        x = mx.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])
    convolved: mx.array = layer(x)
    if skip is None:
        return convolved
    return convolved + (skip.x if skip.layer is None else skip.layer(skip.x))


def group_norm(x: mx.array, norm: GroupNorm) -> mx.array:
    """Group norm of x (B, H, W, C), in x's dtype."""
    batch, height, width, channels = x.shape
    shape = (batch, height * width, norm.groups, channels // norm.groups)
    grouped = x.reshape(shape).transpose(0, 2, 1, 3)
    normed = mx.fast.layer_norm(grouped.reshape(batch, norm.groups, -1), None, None, NORM_EPS)
    normed = normed.reshape(grouped.shape).transpose(0, 2, 1, 3)
    return normed.reshape(x.shape) * norm.weight + norm.bias


def _double(x: mx.array) -> mx.array:
    """Nearest-neighbour upsampling by 2: (B, H, W, C) -> (B, 2 H, 2 W, C)."""
    batch, height, width, channels = x.shape
    squares = mx.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return squares.reshape(batch, height * 2, width * 2, channels)
