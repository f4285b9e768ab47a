"""Reading pictures in the usual formats.

A picture is ComfyUI's IMAGE, ``(B, H, W, 3)`` in sRGB. What a file holds in 8 bits stays in 8 bits until
somebody needs numbers: as float32 it takes four times the memory. A mask is ``(B, H, W)``, 1 where the
picture is transparent.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from run_graph.runtime.device import machine_memory
from run_graph.runtime.generation import Background, Frames
from run_graph.runtime.images.colour import Decoded, Samples, decoded
from run_graph.runtime.images.room import SHARE_OF_MEMORY
from run_graph.runtime.units import bytes_text
from run_graph.runtime.values import unit

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "ICO")
"""The formats that PIL may open. Not all that it knows: for EPS it would run an external program."""

MAX_PIXELS = 178_956_970
"""Most pixels of a file that is opened, all frames together: PIL's own limit, 512 MiB of 8-bit RGB."""

# A decoded frame in PIL (4 bytes a pixel, whatever its mode), its conversion, and the samples kept.
_BYTES_PER_PIXEL = 14

_UNKNOWN = "damaged, or not a picture in a known format"
_HEIC = (
    "a HEIC picture; install the reader for it with `uv sync --extra heic` (package pillow-heif), "
    "or export the picture as PNG or JPEG"
)
_NO_MASK = 64  # Side of the mask of an opaque picture, as in ComfyUI.


class ImageError(ValueError):
    """A picture cannot be read or written; the message names the file, the cause and the fix."""


def read(
    path: Path, background: Background = "none", frames: Frames = "all", content: bytes | None = None
) -> tuple[Samples, npt.NDArray[np.float32]]:
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
    samples : uint8 or float32 array
        ``(B, H, W, 3)``: 0..255, or 0..1 if the file holds more than 8 bits a sample.
    mask : float32 array
        ``(B, H, W)``: 1 - alpha. If the file has no transparency: zeros, ``(B, 64, 64)``, as in ComfyUI.

    Raises
    ------
    ImageError
        If `path` is not a readable picture, is damaged, has more than `MAX_PIXELS` pixels in all, or needs
        more than half of the machine's memory.
    """
    with opened(path, content) as image:
        try:
            count = _frame_count(path, image, frames)
            size = image.size
            pictures: list[Decoded] = []
            for index in range(count):
                if count > 1:
                    image.seek(index)
                if image.size != size:
                    continue
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                picture = decoded(image, background)
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


@contextlib.contextmanager
def opened(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """The picture with its header read and its size checked, before any pixel is decoded; see `read`."""
    if content is None:
        _check_file(path)
    elif not content:
        raise _empty(path)
    with contextlib.ExitStack() as stack:
        try:
            # Until the end: some plug-ins look at the size again when they decode. MAX_PIXELS decides.
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = path if content is None else io.BytesIO(content)
            image = stack.enter_context(Image.open(file, formats=_formats(path)))
        except Image.DecompressionBombError as error:
            raise _too_many_pixels(path, "the picture") from error
        except UnidentifiedImageError as error:
            if _is_heic(path):
                raise ImageError(f"{path}: {_HEIC}") from error
            raise ImageError(f"{path}: {_UNKNOWN}; export it as PNG or JPEG") from error
        except PermissionError as error:
            raise ImageError(f"{path}: no permission to read it; change the file's permissions") from error
        except Exception as error:  # on damaged headers, PIL's plug-ins raise almost any exception
            raise ImageError(f"{path}: the picture's header is damaged ({error}); export it again") from error
        if image.width * image.height > MAX_PIXELS:
            raise _too_many_pixels(path, _size(image))
        yield image


def _formats(path: Path) -> tuple[str, ...]:
    """The formats that PIL may open a file as; HEIC needs a plug-in, which is loaded for HEIC files only."""
    if not _is_heic(path) or importlib.util.find_spec("pillow_heif") is None:
        return FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


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
    count = 1
    # The further pictures of a JPEG (MPO) or HEIC file are previews and depth maps, not frames.
    if frames == "all" and image.format not in ("MPO", "HEIF"):
        try:
            count = int(getattr(image, "n_frames", 1))
        except Exception as error:  # damaged headers of later frames
            raise ImageError(
                f"{path}: the picture's frames are damaged ({error}); export it again"
            ) from error
    if count * image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{path}: {count} frames of {_size(image)} exceed the limit of {MAX_PIXELS:,} pixels in all; "
            "scale the picture down, or read its first frame only"
        )
    needed = count * image.width * image.height * _BYTES_PER_PIXEL
    if needed > SHARE_OF_MEMORY * machine_memory():
        raise ImageError(
            f"{path}: reading {_size(image)} takes {bytes_text(needed)}, more than half of this machine's "
            "memory; scale the picture down"
        )
    return count


def _batch(pictures: list[Decoded]) -> tuple[Samples, npt.NDArray[np.float32]]:
    samples = _stacked([picture.colours for picture in pictures])
    if all(picture.alpha is None for picture in pictures):
        return samples, np.zeros((len(pictures), _NO_MASK, _NO_MASK), np.float32)
    opaque = np.ones(samples.shape[1:3], np.float32)
    alphas = [opaque if picture.alpha is None else unit(picture.alpha) for picture in pictures]
    mask: npt.NDArray[np.float32] = _stacked(alphas)
    return samples, np.subtract(1, mask, dtype=np.float32)


def _stacked(frames: list[Any]) -> Any:
    """Frames as a batch; a single one, which may be large, is not copied."""
    return frames[0][None] if len(frames) == 1 else np.stack(frames)
