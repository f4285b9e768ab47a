"""torch's antialiased bicubic resizing, to the bit: what ComfyUI shows the vision tower.

``torch.nn.functional.interpolate(mode="bicubic", antialias=True)`` on a CPU works along the width, then along
the height. A new sample is the sum of the old ones under a kernel (Keys, a = -0.5) that is widened when the
picture shrinks. Sums and weights are float32 with fused multiplications and additions, here computed in
doubles and rounded once. Pillow's resize, in doubles, is the same to rounding, but where samples are rounded
to 8 bits afterwards, an enlarged picture has many ties that only the same rounding decides alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_A = np.float32(-0.5)
_HALF_WIDTH = np.float32(2)


def resized(
    picture: Array, height: int, width: int, rows: slice = slice(None), columns: slice = slice(None)
) -> Array:
    """A picture (H, W, C) at another size, or a part of the result.

    Parameters
    ----------
    picture : float32 array
    height, width : int
        Of the whole result.
    rows, columns : slice
        The part that is wanted.
    """
    channels = np.moveaxis(picture, -1, 0)
    wide = _along(channels, width, columns)
    tall = _along(np.swapaxes(wide, 1, 2), height, rows)
    return np.ascontiguousarray(np.transpose(tall, (2, 1, 0)))


def _along(values: Array, length: int, part: slice) -> Array:
    """Values resized along their last axis."""
    first, weights = _weights(values.shape[-1], length)
    first, weights = first[part], weights[part]
    last = values.shape[-1] - 1
    total = values[..., np.minimum(first, last)] * weights[:, 0]
    for tap in range(1, weights.shape[1]):
        total = _fused(values[..., np.minimum(first + tap, last)], weights[:, tap], total)
    return total


def _weights(old: int, new: int) -> tuple[npt.NDArray[np.int64], Array]:
    """Of each new position: the first old one under the kernel, (new,), and the weights, (new, taps)."""
    scale = np.float32(old) / np.float32(new)
    support = float(_HALF_WIDTH * max(scale, np.float32(1)))
    inverse = np.float64(np.float32(1) / max(scale, np.float32(1)))
    centre = (np.float64(scale) * (np.arange(new) + 0.5)).astype(np.float32)
    first = np.maximum((centre.astype(np.float64) - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centre.astype(np.float64) + support + 0.5).astype(np.int64), old)
    taps = np.arange(int((end - first).max()))
    offset = (taps + (first - centre).astype(np.float32)[:, None]).astype(np.float32)
    weights = _kernel(np.abs(((offset.astype(np.float64) + 0.5) * inverse).astype(np.float32)))
    weights[taps >= (end - first)[:, None]] = 0
    total = np.zeros(new, np.float32)
    for tap in taps:
        total = total + weights[:, tap]
    return first, weights / total[:, None]


def _kernel(x: Array) -> Array:
    """Cubic convolution (Keys, 1981) at distances x."""
    near = _fused(_fused(x, _A + np.float32(2), -(_A + np.float32(3))) * x, x, np.float32(1))
    far = _fused(_fused(_fused(x, _A, -5 * _A), x, 8 * _A), x, -4 * _A)
    return np.where(x < 1, near, np.where(x < 2, far, np.float32(0))).astype(np.float32)


def _fused(a: Array, b: Array | np.float32, c: Array | np.float32) -> Array:
    """a b + c of float32 numbers, rounded once."""
    exact: npt.NDArray[np.float64] = a.astype(np.float64) * np.asarray(b, np.float64) + np.asarray(
        c, np.float64
    )
    return exact.astype(np.float32)
