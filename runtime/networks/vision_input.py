"""Prepare a picture for SigLIP: resize it to the network's square, then scale its values to -1..1.

Three conventions for getting a square are in use, and they give visibly different tokens:

- ``crop`` (ComfyUI's CLIPVisionEncode): the shorter side is scaled to the size, and the middle is cut out;
- ``stretch`` (Hugging Face's SiglipImageProcessor with ``bicubic``, mflux with ``lanczos``): the picture is
  squashed to the square;
- ``pad`` (ReduxAdvanced's "keep aspect ratio"): the longer side is scaled to the size, and the rest is black.

``crop`` and ``pad`` resize in floating point, like torch; ``stretch`` resizes 8-bit samples, like PIL. Both
antialias. In all three, the samples are rounded to 8 bits afterwards.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from run_graph.runtime.images.antialiased import resized
from run_graph.runtime.values import eight_bit, unit

Array = npt.NDArray[np.float32]
Fit = Literal["crop", "stretch", "pad"]
Resample = Literal["bicubic", "lanczos"]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def siglip_pixels(
    pixels: npt.NDArray[Any], size: int = 384, fit: Fit = "crop", resample: Resample = "bicubic"
) -> npt.NDArray[np.float32]:
    """Convert pictures to SigLIP's size and range.

    Parameters
    ----------
    pixels : float32 or uint8 array
        ``(B, H, W, 3)``, 0..1 (values outside are clipped) or 0..255. A fourth channel, alpha, is dropped.
    size : int
        Side of the square in pixels: 384 for patch14-384, 512 for patch16-512.
    fit : {"crop", "stretch", "pad"}
        How a picture that is not square becomes square; see the module docstring.
    resample : {"bicubic", "lanczos"}
        Bicubic with a = -0.5, or Lanczos with three lobes; both widened for antialiasing.

    Returns
    -------
    float32 array
        ``(B, size, size, 3)``, -1..1: normalised with mean and standard deviation 0.5, as SigLIP was trained.

    Raises
    ------
    ValueError
        If the shape, `size`, `fit` or `resample` is not one of those above.
    """
    if pixels.ndim != 4 or pixels.shape[3] not in (3, 4) or 0 in pixels.shape:
        raise ValueError(f"pixels have shape (batch, height, width, 3), not {pixels.shape}")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    if fit not in get_args(Fit):
        raise ValueError(f"fit {fit!r} is unknown; choose one of {', '.join(get_args(Fit))}")
    if resample not in _FILTERS:
        raise ValueError(f"resample {resample!r} is unknown; choose one of {', '.join(_FILTERS)}")
    return _normalised(
        np.stack([_fit(picture, size, fit, _FILTERS[resample]) for picture in pixels[..., :3]])
    )


def comfyui_pixels(pixels: npt.NDArray[Any], size: int, crop: bool) -> npt.NDArray[np.float32]:
    """Pictures as ComfyUI's CLIPVisionEncode prepares them, (B, size, size, 3), -1..1.

    With `crop` the middle square, else the whole picture squashed to a square, both resized as torch does it.
    A picture of that size is not resized.
    """
    squares = [_comfyui_square(unit(picture), size, crop) for picture in pixels[..., :3]]
    return _normalised(np.stack([eight_bit(square) for square in squares]))


def _comfyui_square(picture: Array, size: int, crop: bool) -> Array:
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    if not crop:
        return resized(picture, size, size)
    scale = size / min(height, width)
    h, w = round(height * scale), round(width * scale)
    top, left = (h - size) // 2, (w - size) // 2
    return resized(picture, h, w, slice(top, top + size), slice(left, left + size))


def _normalised(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """8-bit samples with mean and standard deviation 0.5, as SigLIP was trained."""
    return (samples.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


def _fit(picture: npt.NDArray[Any], size: int, fit: Fit, resample: Image.Resampling) -> npt.NDArray[np.uint8]:
    if fit == "crop":
        return eight_bit(_crop(picture, size, resample))
    if fit == "pad":
        return eight_bit(_pad(picture, size, resample))
    return np.asarray(Image.fromarray(eight_bit(picture)).resize((size, size), resample))


def _crop(picture: npt.NDArray[Any], size: int, resample: Image.Resampling) -> Array:
    """The middle square of the picture scaled to ``(h, w)``.

    Only the part of the source under that square is resampled, so that a very long picture takes no more
    memory than a square one. The kernel still reads the pixels beyond the square's edge.
    """
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    h, w = round(height * scale), round(width * scale)
    top, left = (h - size) // 2, (w - size) // 2
    box = (left * width / w, top * height / h, (left + size) * width / w, (top + size) * height / h)
    return _resize(picture, size, size, resample, box)


def _pad(picture: npt.NDArray[Any], size: int, resample: Image.Resampling) -> Array:
    """The whole picture in the middle of a black square."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - h) // 2, (size - w) // 2
    square = np.zeros((size, size, 3), np.float32)
    square[top : top + h, left : left + w] = _resize(picture, w, h, resample)
    return square


def _resize(
    picture: npt.NDArray[Any],
    width: int,
    height: int,
    resample: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Array:
    """PIL's antialiased resize of each channel in float32; `box` is the source region, in pixels."""
    # One channel at a time: of a large picture in 8 bits, only a third is in memory as float32.
    channels = (Image.fromarray(np.ascontiguousarray(unit(picture[..., c]))) for c in range(3))
    return np.stack([np.asarray(c.resize((width, height), resample, box=box)) for c in channels], axis=-1)
