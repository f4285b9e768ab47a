"""Pictures on their way to and from a client: smaller formats, single channels, masks that were painted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

_FORMATS = {"webp": "image/webp", "jpeg": "image/jpeg"}
_QUALITY = 90
_LARGEST = 178_956_970  # pixels: beyond this Pillow refuses a picture


class PictureError(Exception):
    """What should be a picture is none, or not the one that is needed."""


def converted(path: Path, preview: str | None, channel: str | None) -> tuple[bytes, str]:
    """A picture in another form, and its media type.

    Parameters
    ----------
    path : Path
    preview : str, optional
        ``webp`` or ``jpeg`` with a quality, such as ``webp;90``. The size stays.
    channel : str, optional
        ``rgb``: without alpha; ``a``: alpha alone, in black.

    Raises
    ------
    PictureError
        If the file is no picture, or the form is not known.
    """
    picture = _opened(path.read_bytes(), path.name)
    if preview is None:
        return _saved(_channel(picture, channel), "PNG"), "image/png"
    kind, _, quality = preview.partition(";")
    if kind not in _FORMATS or not (quality.isascii() and (quality.isdigit() or not quality)):
        raise PictureError(f"a preview is webp or jpeg with a quality, such as webp;90, not {preview[:40]!r}")
    if kind == "jpeg" or channel == "rgb":
        picture = picture.convert("RGB")
    chosen = min(int(quality[:4]), 100) if quality else _QUALITY
    return _saved(picture, kind.upper(), quality=chosen), _FORMATS[kind]


def with_alpha_of(original: Path, mask: bytes) -> bytes:
    """The original picture with the alpha channel of another file, as PNG; the original's texts are kept.

    Raises
    ------
    PictureError
        If one of them is no picture, or the mask has no alpha.
    """
    from PIL.PngImagePlugin import PngInfo

    picture, painted = _opened(original.read_bytes(), original.name), _opened(mask, "the mask")
    if "A" not in painted.getbands():
        raise PictureError("the mask has no alpha channel")
    kept = PngInfo()
    for keyword, text in getattr(picture, "text", {}).items():
        kept.add_text(keyword, text)
    result = picture.convert("RGBA")
    alpha = painted.getchannel("A")
    result.putalpha(alpha if alpha.size == result.size else alpha.resize(result.size))
    return _saved(result, "PNG", compress_level=4, pnginfo=kept)


def _channel(picture: Any, channel: str | None) -> Any:
    if channel == "rgb":
        return picture.convert("RGB")
    from PIL import Image

    alpha = picture.convert("RGBA").getchannel("A")
    black = Image.new("RGBA", picture.size)
    black.putalpha(alpha)
    return black


def _opened(content: bytes, name: str) -> Any:
    from PIL import Image

    try:
        picture: Any = Image.open(io.BytesIO(content))
        if picture.width * picture.height > _LARGEST:
            raise PictureError(f"{name} has too many pixels")
        picture.load()
    except PictureError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise PictureError(f"{name} is not a picture that can be read") from error
    return picture if picture.mode in ("RGB", "RGBA", "L", "LA") else picture.convert("RGBA")


def _saved(picture: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
