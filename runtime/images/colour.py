"""Decoded samples of any of PIL's modes as sRGB colours and an alpha channel."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageColor

from run_graph.runtime.generation import Background

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class Decoded(NamedTuple):
    """One frame.

    Attributes
    ----------
    colours : array (H, W, 3)
        uint8, or float32 0..1 if the file holds more than 8 bits a sample.
    alpha : array (H, W) or None
        Of the same kind; None if the frame is opaque.
    """

    colours: Samples
    alpha: Samples | None


def decoded(image: Image.Image, background: Background) -> Decoded:
    """A frame in sRGB, its transparency laid over a background colour unless that is "none"."""
    if image.mode.startswith(("I", "F")):
        return _deep_grey(image, background)
    image = _in_srgb(image)
    if not image.has_transparency_data:
        return Decoded(_bytes(image if image.mode == "RGB" else image.convert("RGB")), None)
    # PIL converts premultiplied La only by way of LA.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = _bytes(rgba.getchannel("A"))
    if background != "none":
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba)
    return Decoded(np.ascontiguousarray(_bytes(rgba)[..., :3]), alpha)


def _in_srgb(image: Image.Image) -> Image.Image:
    """The picture with its embedded colour profile applied: P3, Adobe RGB, CMYK, grey.

    Without a profile, or with one of sRGB itself, the samples stay as they are.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return image
    if image.mode in ("P", "PA", "La", "LA", "RGBa", "RGBA"):
        straight = image.convert("LA") if image.mode == "La" else image
        rgba = straight.convert("RGBA")
        colours = rgba.convert("RGB")
        if source.profile.xcolor_space.strip() == "GRAY":
            colours = colours.convert("L")
        converted = _converted(colours, source)
        if image.has_transparency_data:
            converted.putalpha(rgba.getchannel("A"))
        return converted
    return _converted(image, source)


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:  # only if it was converted in place, which is not asked for
        raise ValueError("the colour profile was not applied")
    return converted


def _deep_grey(image: Image.Image, background: Background) -> Decoded:
    """Greyscale with more than 8 bits.

    Integers count as 16-bit, which is what PNG, TIFF and PGM hold. Floats count as 0..1, or, if any is above
    that, as 0..255, which is how PIL makes them from 8-bit samples. A PNG may declare one grey transparent.
    """
    samples = np.asarray(image).astype(np.float32)
    clear = image.info.get("transparency")
    alpha = (samples != clear).astype(np.float32) if isinstance(clear, int) else None
    if image.mode != "F":
        grey = np.clip(samples / 65535, 0, 1)
    else:
        samples = np.nan_to_num(samples)
        grey = np.clip(samples / (255 if samples.max() > 1 else 1), 0, 1)
    colours: npt.NDArray[np.float32] = np.repeat(grey[..., None], 3, axis=-1)
    if alpha is not None and background != "none":
        colours[alpha == 0] = np.array(ImageColor.getrgb(background), np.float32) / np.float32(255)
    return Decoded(colours, alpha)


def _bytes(image: Image.Image) -> Any:
    return np.asarray(image, np.uint8)
