"""Generation settings in a picture's EXIF comment, in mflux's format."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from run_graph.runtime.images.codec import opened

# EXIF is a TIFF structure: a header, then directories; a directory of one field takes 18 bytes. PIL would
# write the comment as type BYTE, which mflux does not read; EXIF (CIPA DC-008) specifies UNDEFINED.
_TIFF_HEADER = struct.pack(">2sHI", b"MM", 42, 8)
_EXIF_OFFSET = len(_TIFF_HEADER) + 18
_COMMENT_OFFSET = _EXIF_OFFSET + 18
_LONG, _UNDEFINED = 4, 7
_COMMENT_PREFIX = b"ASCII\0\0\0"  # the first 8 bytes of a UserComment name its character code


def mflux_comment(metadata: Mapping[str, Any]) -> bytes:
    """EXIF data with `metadata` as mflux writes it: JSON in the UserComment field."""
    comment = _COMMENT_PREFIX + json.dumps(dict(metadata)).encode()
    first = struct.pack(">HHHIII", 1, ExifTags.IFD.Exif, _LONG, 1, _EXIF_OFFSET, 0)
    field = (ExifTags.Base.UserComment, _UNDEFINED, len(comment), _COMMENT_OFFSET)
    second = struct.pack(">HHHIII", 1, *field, 0)
    return b"Exif\0\0" + _TIFF_HEADER + first + second + comment


def read_mflux_comment(path: Path) -> dict[str, Any] | None:
    """The generation settings that mflux wrote into a picture's EXIF UserComment; None if there are none.

    Raises
    ------
    ImageError
        If `path` is not a readable picture.
    """
    with opened(path) as image:
        data = image.info.get("exif")
    if not isinstance(data, bytes):
        return None
    exif = Image.Exif()
    try:
        exif.load(data)
        comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        settings = json.loads(_comment_text(bytes(comment)))
    except Exception:  # EXIF from another program: a comment that is not JSON, or data PIL cannot parse
        return None
    return settings if isinstance(settings, dict) else None


def _comment_text(comment: bytes) -> str:
    """A UserComment's text: EXIF names its character code in the first 8 bytes (CIPA DC-008, 4.6.5)."""
    code, content = comment[:8], comment[8:]
    if code != b"UNICODE\0":
        return comment.removeprefix(_COMMENT_PREFIX).lstrip(b"\0").decode()
    # The byte order is that of the TIFF structure, or of whoever rewrote it: JSON begins with an ASCII sign.
    return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le").lstrip("\ufeff")
