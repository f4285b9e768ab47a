"""Preparing a picture for SigLIP: resize it to the network's square size, then map it to -1..1.

Three conventions for making a picture square are in use, and they give clearly different tokens:

- ``crop`` (ComfyUI's CLIPVisionEncode): scale the shorter side to the size and cut out the middle;
- ``stretch`` (Hugging Face's SiglipImageProcessor with ``bicubic``, mflux with ``lanczos``): stretch the
  picture to the square;
- ``pad`` (ReduxAdvanced's "keep aspect ratio"): scale the longer side to the size and pad with black.

``crop`` and ``pad`` resize in floating point, as torch does; ``stretch`` resizes 8-bit samples, as PIL does.
Both antialias. In all three, the result is rounded to 8-bit values.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]
Fit = Literal["crop", "stretch", "pad"]
Resample = Literal["bicubic", "lanczos"]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def siglip_pixels(
    pixels: Array, size: int = 384, fit: Fit = "crop", resample: Resample = "bicubic"
) -> npt.NDArray[np.float32]:
    """Convert pictures to SigLIP's size and range.

    Parameters
    ----------
    pixels : float32 array
        ``(B, H, W, 3)``, 0..1; values outside are clipped.
    size : int
        Side of the square in pixels: 384 for patch14-384, 512 for patch16-512.
    fit : {"crop", "stretch", "pad"}
        How a picture that is not square becomes square; see the module docstring.
    resample : {"bicubic", "lanczos"}
        Bicubic with a = -0.5, or Lanczos with three lobes; both widened for antialiasing.

    Returns
    -------
    float32 array
        ``(B, size, size, 3)``, -1..1: normalised with mean 0.5 and standard deviation 0.5, as for training.

    Raises
    ------
    ValueError
        If the shape, `size`, `fit` or `resample` is not as described above.
    """
    if pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels have shape (batch, height, width, 3), not {pixels.shape}")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, not {size}")
    if fit not in get_args(Fit):
        raise ValueError(f"fit {fit!r} is unknown; choose one of {', '.join(get_args(Fit))}")
    if resample not in _FILTERS:
        raise ValueError(f"resample {resample!r} is unknown; choose one of {', '.join(_FILTERS)}")
    samples = np.stack([_fit(picture, size, fit, _FILTERS[resample]) for picture in pixels])
    return (samples.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


def _fit(picture: Array, size: int, fit: Fit, resample: Image.Resampling) -> npt.NDArray[np.uint8]:
    if fit == "crop":
        return _to_8_bit(_crop(picture, size, resample))
    if fit == "pad":
        return _to_8_bit(_pad(picture, size, resample))
    return np.asarray(Image.fromarray(_to_8_bit(picture)).resize((size, size), resample))


def _crop(picture: Array, size: int, resample: Image.Resampling) -> Array:
    """The middle square of the picture scaled to ``(h, w)``.

    Only the part of the source under that square is resampled, so a very long picture costs no more memory
    than a square one. The filter still reads the pixels beyond the edge of the square.
    """
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    h, w = round(height * scale), round(width * scale)
    top, left = (h - size) // 2, (w - size) // 2
    box = (left * width / w, top * height / h, (left + size) * width / w, (top + size) * height / h)
    return _resize(picture, size, size, resample, box)


def _pad(picture: Array, size: int, resample: Image.Resampling) -> Array:
    """The whole picture in the middle of a black square."""
    height, width = picture.shape[:2]
    scale = size / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - h) // 2, (size - w) // 2
    square = np.zeros((size, size, 3), np.float32)
    square[top : top + h, left : left + w] = _resize(picture, w, h, resample)
    return square


def _resize(
    picture: Array,
    width: int,
    height: int,
    resample: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Array:
    """PIL's antialiased resize of each channel in float32; `box` is the source region, in pixels."""
    channels = [Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)) for c in range(3)]
    return np.stack([np.asarray(c.resize((width, height), resample, box=box)) for c in channels], axis=-1)


def _to_8_bit(picture: Array) -> npt.NDArray[np.uint8]:
    """Clip to 0..1, scale to 0..255 and round, halves to even."""
    return np.round(np.clip(picture, 0, 1) * np.float32(255)).astype(np.uint8)
