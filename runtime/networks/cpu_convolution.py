"""`convolution.convolve` on the CPU: a band of rows at a time, so that what lies between stays in the cache.

In a band, the rows are normalised, their three columns are unrolled side by side, and each of the kernel's
three rows is a matrix product. Unrolling all nine positions would need three times the memory and is not
faster. The result is the only new array of the picture's size.
"""

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

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
    weight, bias = np.asarray(layer.weight), np.asarray(layer.bias)
    kernel: _Kernel
    if resize is not None:
        mx.clear_cache()  # MLX keeps freed arrays for others of the same size; another size begins here.
    if resize == "double":
        kernel, size = _Doubling(weight, bias), (2 * height, 2 * width)
    else:
        stride = 2 if resize == "halve" else 1
        kernel, size = _Plain(weight, bias, stride), (height // stride, width // stride)
    result, output = new_array(batch, *size, len(bias))
    for index, picture in enumerate(np.asarray(x)):
        add = None if skip is None else _skip(skip, index)
        _convolve_picture(kernel, _source(picture, norm, eps), (height, width), add, output[index])
    return result


def _source(picture: Array, norm: "GroupNorm | None", eps: float) -> Source:
    if norm is None:
        return lambda first, last: picture[first:last]
    factor, offset = _affine(picture, norm, eps)
    return lambda first, last: _norm_silu(picture[first:last], factor, offset)


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


class _Kernel(Protocol):
    """A 3 x 3 kernel."""

    operations: int  # per pixel of the output
    stride: int
    scale: int  # rows of the output for each row of unrolled columns, beyond the two at the edges

    def write(self, columns: Array, out: Array) -> None:
        """Write rows of the output (rows, W', O) from the columns that they cover (input rows, W, 3 C)."""


class _Plain:
    """The kernel as it is: three products, one for each of its rows."""

    scale = 1

    def __init__(self, weight: Array, bias: Array, stride: int) -> None:
        self.stride = stride
        self.operations = 2 * weight[0].size
        self._bias = bias
        self._rows = [weight[:, i].reshape(len(bias), -1).T for i in range(3)]

    def write(self, columns: Array, out: Array) -> None:
        band = out.reshape(-1, out.shape[-1])
        last = (len(out) - 1) * self.stride + 1
        for i, weight in enumerate(self._rows):
            taps = columns[i : i + last : self.stride].reshape(len(band), -1)
            np.add(band if i else self._bias, taps @ weight, out=band)


class _Doubling:
    """Doubling the picture and the kernel in one.

    In the doubled picture, the three rows under the kernel are two rows of the small one: the first row alone
    and the other two together, or the reverse. The same is true of columns. So each of the four pixels that
    come from one is a 2 x 2 kernel's, whose weights are sums: 16 products take the place of 36.
    """

    stride, scale = 1, 2

    def __init__(self, weight: Array, bias: Array) -> None:
        outputs, _, _, channels = weight.shape
        self.operations = 2 * 4 * channels * outputs
        self._bias = bias
        self._channels = channels
        # Of either parity: which of the kernel's three positions each of the two reads.
        sums = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)
        by_row = np.tensordot(sums, weight, axes=(2, 1))  # (parity, 2, O, 3, C)
        merged = np.tensordot(by_row, sums, axes=(3, 2))  # (parity, 2, O, C, parity, 2)
        # Row parity, column parity, row: (2 C, O) each.
        self._weights = merged.transpose(0, 4, 1, 5, 3, 2).reshape(2, 2, 2, 2 * channels, outputs)

    def write(self, columns: Array, out: Array) -> None:
        rows, width = len(out) // 2, columns.shape[1]
        for parity in product(range(2), range(2)):
            down, right = parity
            weights = self._weights[parity]
            covered = columns[down:, :, right * self._channels : (right + 2) * self._channels]
            first, second = (covered[i : i + rows].reshape(rows * width, -1) for i in range(2))
            values = first @ weights[0]
            values += second @ weights[1]
            np.add(values.reshape(rows, width, -1), self._bias, out=out[down::2, right::2])


def _convolve_picture(
    kernel: _Kernel,
    source: Source,
    size: tuple[int, int],
    add: Callable[[int, int, Array], None] | None,
    output: Array,
) -> None:
    """Fill `output` (H', W', O) from a source of (H, W) pixels."""
    outputs, scale = output.shape[-1], kernel.scale
    step = scale * max(1, BAND // (output.shape[1] * scale))

    def compute(start: int) -> None:
        end = min(start + step, len(output))
        columns = _columns(source, size, kernel.stride, start // scale, end // scale)
        band = output[start:end]
        kernel.write(columns, band)
        if add is not None:
            add(start, end, band.reshape(-1, outputs))

    parts = range(0, len(output), step)
    in_parts(compute, parts, operations=kernel.operations * output.size)


def _columns(source: Source, size: tuple[int, int], stride: int, start: int, end: int) -> Array:
    """The input of positions `start` to `end` of the kernel: rows that lie outside the picture are zero.

    (input rows, W / stride, 3 C): at each position the three pixels that the kernel covers in a row.
    """
    height, width = size
    padding = 2 - stride
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
