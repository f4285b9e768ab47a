"""Reading pictures in the usual formats; writing PNG with metadata.

An image is ComfyUI's IMAGE: float32 ``(1, H, W, 3)``, 0..1, sRGB. A mask is ``(1, H, W)``, 1 where the
picture is transparent.
"""

from __future__ import annotations

import contextlib
import io
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

Array = npt.NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "ICO")
"""The formats that PIL may open. Not all that it knows: for EPS it would run an external program."""

MAX_PIXELS = 178_956_970
"""The most pixels that a picture may have; PIL itself refuses larger ones. 512 MiB as 8-bit RGB."""


class ImageError(ValueError):
    """A picture cannot be read or written; the message names the file, the cause and the fix."""


def load(path: Path) -> tuple[Array, Array]:
    """Read a picture as a viewer would show it.

    The EXIF orientation is applied, transparent areas are composited over white, and an animation gives its
    first frame. 16-bit samples keep their precision in greyscale pictures; colour is read as 8 bits.

    Returns
    -------
    pixels : float32 array
        ``(1, H, W, 3)``, 0..1.
    mask : float32 array
        ``(1, H, W)``, 0..1: 1 - alpha; all 0 for an opaque picture.

    Raises
    ------
    ImageError
        If `path` is not a readable picture, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    with opened(path) as image:
        try:
            image.load()
            return _arrays(ImageOps.exif_transpose(image))
        except MemoryError as error:
            raise ImageError(
                f"{path}: not enough memory for {_size(image)}; scale the picture down"
            ) from error
        except Exception as error:  # on damaged data, PIL's decoders raise almost any exception
            raise ImageError(f"{path}: the picture cannot be decoded ({error}); export it again") from error


def check(path: Path) -> str | None:
    """Why a picture cannot be loaded, judged from its header without decoding; None if nothing is wrong."""
    try:
        with opened(path):
            return None
    except ImageError as error:
        return str(error)


def to_png(
    pixels: npt.NDArray[Any], text: Mapping[str, str], exif: bytes | None = None, compress_level: int = 4
) -> bytes:
    """Encode a picture as an 8-bit RGB PNG with text chunks.

    Parameters
    ----------
    pixels : float array
        ``(H, W, 3)``, 0..1; values outside are clipped, and each is rounded to the nearest of 256 levels.
    text : mapping
        Text by keyword; each becomes a tEXt chunk, or an iTXt chunk if the text is not Latin-1.
    exif : bytes, optional
        EXIF data, as from `mflux_comment`.
    compress_level : int
        zlib's compression level, 0..9; ComfyUI uses 4.

    Raises
    ------
    ImageError
        If the shape is not ``(H, W, 3)``, or a value is not a finite number.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"a picture has shape (height, width, 3), not {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise ImageError(
            "the picture contains values that are not finite (NaN or infinity); a model overflowed"
        )
    samples = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return encoded(Image.fromarray(samples), text, exif, compress_level)


def encoded(
    image: Image.Image, text: Mapping[str, str], exif: bytes | None = None, compress_level: int = 4
) -> bytes:
    """A PIL picture as a PNG file with text chunks; see `to_png` for the parameters."""
    chunks = PngImagePlugin.PngInfo()
    for keyword, value in text.items():
        chunks.add_text(keyword, value)
    buffer = io.BytesIO()
    options = {} if exif is None else {"exif": exif}
    image.save(buffer, "PNG", pnginfo=chunks, compress_level=compress_level, **options)
    return buffer.getvalue()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture: read its header and check its size, without decoding any pixels.

    Raises
    ------
    ImageError
        If `path` is not a readable picture or has more than `MAX_PIXELS` pixels.
    """
    _check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked against MAX_PIXELS
                image = stack.enter_context(Image.open(path, formats=FORMATS))
        except Image.DecompressionBombError as error:
            raise _too_many_pixels(path, "the picture") from error
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{path}: damaged, or not a picture in a known format; export it as PNG or JPEG"
            ) from error
        except PermissionError as error:
            raise ImageError(f"{path}: no permission to read it; change the file's permissions") from error
        except Exception as error:  # on damaged headers, PIL's plug-ins raise almost any exception
            raise ImageError(f"{path}: the picture's header is damaged ({error}); export it again") from error
        if image.width * image.height > MAX_PIXELS:
            raise _too_many_pixels(path, _size(image))
        yield image


def _check_file(path: Path) -> None:
    """Refuse anything but a non-empty regular file: opening a pipe, for example, would block forever."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be reached ({error}); check the name and permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path}: this is a folder, not a picture; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: this is not a regular file; name a picture file")
    if status.st_size == 0:
        raise ImageError(f"{path}: the file is empty; export or download the picture again")


def _too_many_pixels(path: Path, size: str) -> ImageError:
    return ImageError(f"{path}: {size} exceeds the limit of {MAX_PIXELS:,} pixels; scale the picture down")


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height} pixels"


def _arrays(image: Image.Image) -> tuple[Array, Array]:
    """Pixels and mask of a decoded picture in any of PIL's modes."""
    if image.mode.startswith(("I", "F")):
        grey = _deep_grey(image)
        return np.repeat(grey[None, :, :, None], 3, axis=3), np.zeros((1, *grey.shape), np.float32)
    if not image.has_transparency_data:
        pixels = _unit(image.convert("RGB"))
        return pixels, np.zeros(pixels.shape[:3], np.float32)
    # PIL can convert premultiplied La only through LA.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    pixels = _unit(Image.alpha_composite(white, rgba).convert("RGB"))
    return pixels, 1 - _unit(rgba.getchannel("A"))


def _deep_grey(image: Image.Image) -> Array:
    """Greyscale samples of more than 8 bits as ``(H, W)``, 0..1.

    Integers are taken as 16-bit, as in PNG, TIFF and PGM. Floats are taken as 0..1, or as 0..255 if any is
    above 1, since PIL makes floats in 0..255 from 8-bit samples.
    """
    samples = np.asarray(image).astype(np.float32)
    if image.mode != "F":
        return np.clip(samples / 65535, 0, 1)
    samples = np.nan_to_num(samples)
    return np.clip(samples / (255 if samples.max() > 1 else 1), 0, 1)


def _unit(image: Image.Image) -> Array:
    """8-bit samples as float32 0..1 with a leading batch axis."""
    return np.asarray(image, np.float32)[None] / np.float32(255)
