"""Reading pictures in the usual formats; writing PNG with metadata.

A picture is ComfyUI's IMAGE: float32 ``(B, H, W, 3)``, 0..1, sRGB. A mask is ``(B, H, W)``, 1 where the
picture is transparent.
"""

from __future__ import annotations

import contextlib
import io
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageColor, ImageOps, PngImagePlugin, UnidentifiedImageError

from run_graph.runtime.generation import Background, Frames
from run_graph.runtime.values import eight_bit

Array = npt.NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "ICO")
"""The formats that PIL may open. Not all that it knows: for EPS it would run an external program."""

MAX_PIXELS = 178_956_970
"""Most pixels of a file that is opened, all frames together: PIL's own limit, 512 MiB of 8-bit RGB."""

_UNKNOWN = "damaged, or not a picture in a known format"
_NO_MASK = 64  # Side of the mask of an opaque picture, as in ComfyUI.


class ImageError(ValueError):
    """A picture cannot be read or written; the message names the file, the cause and the fix."""


def load(
    path: Path, background: Background = "none", frames: Frames = "all", content: bytes | None = None
) -> tuple[Array, Array]:
    """Read a picture file.

    The EXIF orientation and an embedded colour profile are applied, so that colours are sRGB. Greyscale
    samples of more than 8 bits keep their precision; colours are read as 8 bits.

    Parameters
    ----------
    path : Path
    background : str
        The colour that transparency is laid over. "none": colours stay as they are stored, whatever their
        alpha.
    frames : str
        "all": the frames of an animation, or the pages of a TIFF file, become a batch; a page of another
        size than the first is left out. "first": only the first.
    content : bytes, optional
        The file's content, if it has been read; `path` then only names it.

    Returns
    -------
    pixels : float32 array
        ``(B, H, W, 3)``, 0..1.
    mask : float32 array
        ``(B, H, W)``: 1 - alpha. If the file has no transparency: zeros, ``(B, 64, 64)``, as in ComfyUI.

    Raises
    ------
    ImageError
        If `path` is not a readable picture, is damaged, or has more than `MAX_PIXELS` pixels in all.
    """
    with opened(path, content) as image:
        try:
            count = _frame_count(path, image, frames)
            size = image.size
            pictures: list[_Decoded] = []
            for index in range(count):
                image.seek(index)
                if image.size != size:
                    continue
                image.load()
                picture = _decoded(ImageOps.exif_transpose(image), background)
                if not pictures or picture.colours.shape == pictures[0].colours.shape:
                    pictures.append(picture)
            return _batch(pictures)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(
                f"{path}: not enough memory for {_size(image)}; scale the picture down"
            ) from error
        except Exception as error:  # on damaged data, PIL's decoders raise almost any exception
            raise ImageError(f"{path}: the picture cannot be decoded ({error}); export it again") from error


def check(path: Path, frames: Frames = "all") -> str | None:
    """Why a picture cannot be loaded, judged by its headers without decoding; None if they are fine."""
    try:
        with opened(path) as image:
            _frame_count(path, image, frames)
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
        If the shape is wrong, or a value is not a finite number.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"a picture has shape (height, width, 3), not {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise ImageError(
            "the picture holds values that are not finite numbers (NaN or infinity); a model overflowed"
        )
    samples = eight_bit(pixels)
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
def opened(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked, before any pixel is decoded; see `load`."""
    if content is None:
        _check_file(path)
    elif not content:
        raise _empty(path)
    with contextlib.ExitStack() as stack:
        try:
            # Until the end: some plug-ins look at the size again when they decode. MAX_PIXELS decides.
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = stack.enter_context(
                Image.open(path if content is None else io.BytesIO(content), formats=FORMATS)
            )
        except Image.DecompressionBombError as error:
            raise _too_many_pixels(path, "the picture") from error
        except UnidentifiedImageError as error:
            kind = "a HEIC picture, which is not read here" if _is_heic(path) else _UNKNOWN
            raise ImageError(f"{path}: {kind}; export it as PNG or JPEG") from error
        except PermissionError as error:
            raise ImageError(f"{path}: no permission to read it; change the file's permissions") from error
        except Exception as error:  # on damaged headers, PIL's plug-ins raise almost any exception
            raise ImageError(f"{path}: the picture's header is damaged ({error}); export it again") from error
        if image.width * image.height > MAX_PIXELS:
            raise _too_many_pixels(path, _size(image))
        yield image


def _is_heic(path: Path) -> bool:
    """Whether a file is HEIC or HEIF, what iPhones take pictures in, whatever its suffix."""
    with open(path, "rb") as file:
        beginning = file.read(32)
    return beginning[4:8] == b"ftyp" and any(brand in beginning[8:] for brand in (b"hei", b"hev", b"mif1"))


def _check_file(path: Path) -> None:
    """Refuse what is not a file with content: opening a pipe, for example, would wait for ever."""
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
        raise _empty(path)


def _empty(path: Path) -> ImageError:
    return ImageError(f"{path}: the file is empty; export or download the picture again")


def _too_many_pixels(path: Path, size: str) -> ImageError:
    return ImageError(f"{path}: {size} exceeds the limit of {MAX_PIXELS:,} pixels; scale the picture down")


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height} pixels"


def _frame_count(path: Path, image: Image.Image, frames: Frames) -> int:
    """How many frames are read. Raises ImageError if they have too many pixels together."""
    # The further pictures of a JPEG file (MPO) are previews and depth maps, not frames.
    if frames == "first" or image.format == "MPO":
        return 1
    try:
        count = int(getattr(image, "n_frames", 1))
    except Exception as error:  # damaged headers of later frames
        raise ImageError(f"{path}: the picture's frames are damaged ({error}); export it again") from error
    if count * image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{path}: {count} frames of {_size(image)} exceed the limit of {MAX_PIXELS:,} pixels in all; "
            "scale the picture down, or read its first frame only"
        )
    return count


class _Decoded(NamedTuple):
    """A frame's colours, (H, W, 3), and its alpha, (H, W), if it has any; float32, 0..1."""

    colours: Array
    alpha: Array | None


def _batch(pictures: list[_Decoded]) -> tuple[Array, Array]:
    pixels = np.stack([picture.colours for picture in pictures])
    if all(picture.alpha is None for picture in pictures):
        return pixels, np.zeros((len(pictures), _NO_MASK, _NO_MASK), np.float32)
    opaque = np.ones(pixels.shape[1:3], np.float32)
    alphas = [opaque if picture.alpha is None else picture.alpha for picture in pictures]
    return pixels, 1 - np.stack(alphas)


def _decoded(image: Image.Image, background: Background) -> _Decoded:
    """A decoded frame in any of PIL's modes."""
    if image.mode.startswith(("I", "F")):
        return _deep_grey(image, background)
    image = _in_srgb(image)
    if not image.has_transparency_data:
        return _Decoded(_unit(image.convert("RGB")), None)
    # PIL converts premultiplied La only by way of LA.
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = _unit(rgba.getchannel("A"))
    if background != "none":
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba)
    return _Decoded(_unit(rgba)[..., :3], alpha)


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


def _deep_grey(image: Image.Image, background: Background) -> _Decoded:
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
    colours: Array = np.repeat(grey[..., None], 3, axis=-1)
    if alpha is not None and background != "none":
        colours[alpha == 0] = np.array(ImageColor.getrgb(background), np.float32) / np.float32(255)
    return _Decoded(colours, alpha)


def _unit(image: Image.Image) -> Array:
    """8-bit samples as float32, 0..1."""
    return np.asarray(image, np.float32) / np.float32(255)
