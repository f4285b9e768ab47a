"""`convolution.convolve` on the CPU: a band of rows at a time, so that what lies between stays in the cache.

In a band, the rows are normalised or doubled, their three columns are unrolled side by side, and each of the
kernel's three rows is a matrix product. Unrolling all nine positions would need three times the memory and is
not faster. The result is the only new array of the picture's size.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from run_graph.runtime.networks.cpu import Array, new_array, write_swish
from run_graph.runtime.networks.threads import in_parts

if TYPE_CHECKING:
    from run_graph.runtime.networks.convolution import GroupNorm, Resize, Skip

BAND = 2048  # Pixels, at least one row: enough for matrix products, few enough for the cache.
CHUNK = 2**17  # Numbers whose mean and variance are taken at once.
PASSES = 100  # The three passes for them take as long as so many operations of a matrix product.

Source = Callable[[int, int], Array]
"""Rows `first` to `last` (excluded) of what the convolution reads, (rows, W, C)."""


class _Layer(NamedTuple):
    weight: Array  # (O, 3, 3, C)
    bias: Array  # (O,)
    stride: int


def convolve(
    layer: Any,
    x: mx.array,
    norm: "GroupNorm | None",
    eps: float,
    resize: "Resize | None",
    skip: "Skip | None",
) -> mx.array:
    """See `convolution.convolve`; `eps` is the norm's."""
    batch, height, width, _ = x.shape
    stride = 2 if resize == "halve" else 1
    scale = 2 if resize == "double" else 1
    arrays = _Layer(np.asarray(layer.weight), np.asarray(layer.bias), stride)
    size = (scale * height // stride, scale * width // stride)
    result, output = new_array(batch, *size, len(arrays.bias))
    for index, picture in enumerate(np.asarray(x)):
        source = _source(picture, norm, eps, resize)
        add = None if skip is None else _skip(skip, index)
        _convolve_picture(arrays, source, (scale * height, scale * width), add, output[index])
    return result


def _source(picture: Array, norm: "GroupNorm | None", eps: float, resize: "Resize | None") -> Source:
    if norm is not None:
        factor, offset = _affine(picture, norm, eps)
        return lambda first, last: _norm_silu(picture[first:last], factor, offset)
    if resize == "double":
        return lambda first, last: np.repeat(picture[np.arange(first, last) // 2], 2, axis=1)
    return lambda first, last: picture[first:last]


def _norm_silu(rows: Array, factor: Array, offset: Array) -> Array:
    normed = rows * factor
    normed += offset
    activated = np.empty_like(normed)
    write_swish(normed, 1.0, activated)
    return activated


def _skip(skip: "Skip", index: int) -> Callable[[int, int, Array], None]:
    """A function that adds rows `first` to `last` of the residual connection to an array (pixels, O)."""
    picture = np.asarray(skip.x)[index]
    if skip.layer is None:

        def add(first: int, last: int, to: Array) -> None:
            to += picture[first:last].reshape(to.shape)
    else:
        weight, bias = np.asarray(skip.layer.weight), np.asarray(skip.layer.bias)
        matrix = weight.reshape(len(bias), -1).T

        def add(first: int, last: int, to: Array) -> None:
            to += picture[first:last].reshape(len(to), -1) @ matrix
            to += bias

    return add


def _convolve_picture(
    layer: _Layer,
    source: Source,
    size: tuple[int, int],
    add: Callable[[int, int, Array], None] | None,
    output: Array,
) -> None:
    """Fill `output` (H', W', O) from a source of (H, W) pixels."""
    rows, width, outputs = output.shape
    step = max(1, BAND // width)

    def compute(start: int) -> None:
        end = min(start + step, rows)
        columns = _columns(source, size, layer, start, end)
        band = output[start:end].reshape(-1, outputs)
        for i in range(3):
            taps = columns[i : i + (end - start - 1) * layer.stride + 1 : layer.stride]
            product = taps.reshape(len(band), -1) @ layer.weight[:, i].reshape(outputs, -1).T
            np.add(band, product, out=band) if i else np.add(product, layer.bias, out=band)
        if add is not None:
            add(start, end, band)

    in_parts(compute, range(0, rows, step), operations=2 * output.size * layer.weight[0].size)


def _columns(source: Source, size: tuple[int, int], layer: _Layer, start: int, end: int) -> Array:
    """The input of output rows `start` to `end`: rows that lie outside the picture are zero.

    (input rows, W', 3 C): at each output position the three positions that its kernel covers in a row.
    """
    height, width = size
    stride, padding = layer.stride, 2 - layer.stride
    first, last = stride * start - padding, stride * (end - 1) - padding + 3
    inside = source(max(first, 0), min(last, height))
    channels, positions = inside.shape[-1], width // stride
    columns = np.empty((last - first, positions, 3, channels), np.float32)
    above, below = max(-first, 0), max(last - height, 0)
    columns[:above] = 0
    columns[len(columns) - below :] = 0
    covered = columns[above : len(columns) - below]
    for j in range(3):
        written, read = _taps(j - padding, stride, width)
        covered[:, : written.start, j] = 0
        covered[:, written.stop :, j] = 0
        covered[:, written, j] = inside[:, read]
    return columns.reshape(len(columns), positions, 3 * channels)


def _taps(shift: int, stride: int, width: int) -> tuple[slice, slice]:
    """Output position p reads input position stride * p + shift: those p inside a row, and what they read."""
    first = max(-shift, 0)
    end = min((width - 1 - shift) // stride + 1, width // stride)
    return slice(first, end), slice(stride * first + shift, stride * (end - 1) + shift + 1, stride)


def _affine(picture: Array, norm: "GroupNorm", eps: float) -> tuple[Array, Array]:
    """Factor and offset (C,) of each channel that normalise a picture (H, W, C) by groups."""
    mean, variance = _moments(picture.reshape(-1, picture.shape[-1]), norm.groups)
    factor = np.asarray(norm.weight) / np.sqrt(variance + eps)
    offset = np.asarray(norm.bias) - mean * factor
    return factor.astype(np.float32), offset.astype(np.float32)


def _moments(pixels: Array, groups: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance (C,) of each channel's group over all pixels (N, C).

    Each chunk's squares are taken around its own means, so that large means cost no precision (Chan, Golub
    & LeVeque, 1979).
    """
    count, channels = pixels.shape
    step = max(1, CHUNK // channels)
    starts = range(0, count, step)
    means, squares = np.empty((2, len(starts), channels))

    def compute(index: int) -> None:
        chunk = pixels[starts[index] : starts[index] + step]
        mean = chunk.mean(axis=0)
        centred = chunk - mean
        means[index], squares[index] = mean, np.einsum("nc,nc->c", centred, centred)

    in_parts(compute, range(len(starts)), operations=PASSES * pixels.size)
    sizes = np.diff([*starts, count])[:, None]
    mean = _by_group((sizes * means).sum(axis=0) / count, groups)
    variance = _by_group((squares + sizes * (means - mean) ** 2).sum(axis=0) / count, groups)
    return mean, variance


def _by_group(values: npt.NDArray[np.float64], groups: int) -> npt.NDArray[np.float64]:
    """The mean of each group's channels, repeated for each: (C,) -> (C,)."""
    return np.repeat(values.reshape(groups, -1).mean(axis=1), len(values) // groups)
