"""Bring batches of pictures, ``(B, H, W, ...)``, to the same length and to the same channels."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from run_graph.runtime.images.room import require_room

Array = npt.NDArray[np.float32]


def repeated(batch: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """The first `count` of a batch, which starts again from its first where it is shorter."""
    if len(batch) >= count:
        return batch[:count]
    require_room((count, *batch.shape[1:]))
    return np.concatenate([batch] * ceil(count / len(batch)))[:count]


def fitting_batches(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    """Raise ValueError if two batches have different lengths, neither of which is 1."""
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise ValueError(
            f"batches of {len(first)} and {len(second)} do not fit together; give as many in both, or one"
        )


def with_channels(pixels: Array, channels: int) -> Array:
    """Pictures with so many channels, 3 or 4: alpha is dropped, or added as opaque."""
    missing = channels - pixels.shape[3]
    if missing <= 0:
        return pixels[..., :channels]
    return np.concatenate([pixels, np.ones((*pixels.shape[:3], missing), np.float32)], -1)
