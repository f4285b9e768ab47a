"""Resize pictures as ComfyUI's scaling nodes do.

Four methods are torch's ``interpolate`` without antialiasing. ``lanczos`` is PIL's, which antialiases, on
samples that are cut to 8 bits; PIL weights the colours of a picture with an alpha channel by their alpha.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from run_graph.runtime.images.choices import Crop, Method
from run_graph.runtime.images.interpolation import resize
from run_graph.runtime.images.room import require_room
from run_graph.runtime.values import eight_bit, unit

Array = npt.NDArray[np.float32]

_MEGAPIXEL = 1024 * 1024

# Width and height: the sizes that FLUX.1 Kontext was trained on.
_KONTEXT_SIZES = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024),
    (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688), (1568, 672),
)  # fmt: skip


def scaled(
    samples: npt.NDArray[Any], width: int, height: int, method: Method, crop: Crop = "disabled"
) -> Array:
    """Pictures in another size.

    Parameters
    ----------
    samples : float32 or uint8 array
        ``(B, H, W, C)``, 0..1 or 0..255.
    width, height : int
    method : str
    crop : {"disabled", "center"}
        "center": what exceeds the new ratio of the sides is first cut off, the same on both sides.

    Returns
    -------
    float32 array
        ``(B, height, width, C)``. Bicubic may exceed 0..1 a little.

    Raises
    ------
    ValueError
        If a side would have no pixel, nothing is left of a cut picture, or the result takes more than half of
        the machine's memory.
    """
    if width < 1 or height < 1:
        raise ValueError(f"the picture would be {width} x {height} pixels; ask for a larger size")
    require_room((len(samples), height, width, samples.shape[3]))
    if crop == "center":
        samples = centre(samples, width / height)
    if method == "lanczos":
        return lanczos(samples, width, height)
    return resize(unit(samples), height, width, method)


def lanczos(samples: npt.NDArray[Any], width: int, height: int) -> Array:
    """Pictures ``(B, H, W, C)`` resized by PIL on 8-bit samples, as float32, 0..1."""
    pictures = [Image.fromarray(picture) for picture in eight_bit(samples, truncate=True)]
    resized = [picture.resize((width, height), Image.Resampling.LANCZOS) for picture in pictures]
    return unit(np.stack([np.asarray(picture) for picture in resized]))


def centre(samples: npt.NDArray[Any], ratio: float) -> npt.NDArray[Any]:
    """The middle part of pictures whose sides have this ratio, width to height."""
    height, width = samples.shape[1:3]
    own = width / height
    x = round((width - width * (ratio / own)) / 2) if own > ratio else 0
    y = round((height - height * (own / ratio)) / 2) if own < ratio else 0
    middle = samples[:, y : height - y, x : width - x]
    if not middle.size:
        raise ValueError(
            f"of a picture of {width} x {height} pixels nothing is left at the ratio of {ratio:.3g} to 1; "
            "ask for a size that is more alike, or do not crop"
        )
    return middle


def given_or_kept(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """The new width and height of a picture of this ``(width, height)``; one that is 0 keeps the ratio."""
    if width == height == 0:
        return size
    if width == 0:
        width = max(1, round(size[0] * height / size[1]))
    elif height == 0:
        height = max(1, round(size[1] * width / size[0]))
    return width, height


def times(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Width and height multiplied by a factor."""
    return round(size[0] * factor), round(size[1] * factor)


def of_megapixels(size: tuple[int, int], megapixels: float, multiple: int) -> tuple[int, int]:
    """Width and height, each a multiple, whose product is about so many times 1,048,576."""
    factor = sqrt(megapixels * _MEGAPIXEL / (size[0] * size[1]))
    width, height = (round(side * factor / multiple) * multiple for side in size)
    return width, height


def of_longest_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height, the larger of which is `side`."""
    width, height = size
    if width == height:
        return side, side
    return (side, round(height / width * side)) if width > height else (round(width / height * side), side)


def for_kontext(size: tuple[int, int]) -> tuple[int, int]:
    """Of the sizes that FLUX.1 Kontext was trained on, the one with the most similar ratio of its sides."""
    ratio = size[0] / size[1]
    _, width, height = min((abs(ratio - width / height), width, height) for width, height in _KONTEXT_SIZES)
    return width, height


def fitted(samples: npt.NDArray[Any], width: int, height: int, method: Method, grey: float) -> Array:
    """The whole pictures in the middle of ``width`` x ``height`` pixels; the rest has one grey, 0..1."""
    own_height, own_width = samples.shape[1:3]
    factor = min(width / own_width, height / own_height)
    inner = scaled(samples, int(own_width * factor), int(own_height * factor), method)
    require_room((len(samples), height, width, samples.shape[3]))
    canvas = np.full((len(samples), height, width, samples.shape[3]), grey, np.float32)
    top, left = (height - inner.shape[1]) // 2, (width - inner.shape[2]) // 2
    canvas[:, top : top + inner.shape[1], left : left + inner.shape[2]] = inner
    return canvas
