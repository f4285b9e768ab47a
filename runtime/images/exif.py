"""What a picture's EXIF data say about how it was made: in mflux's form, and in ComfyUI's."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from run_graph.runtime.images.reading import opened

# EXIF is a TIFF structure: a header, then directories of 12-byte fields; values of more than 4 bytes follow.
# PIL would write the comment as type BYTE, which mflux does not read; EXIF (CIPA DC-008) says UNDEFINED.
_TIFF_HEADER = struct.pack(">2sHI", b"MM", 42, 8)
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_COMMENT_PREFIX = b"ASCII\0\0\0"  # the first 8 bytes of a UserComment name its character code
# ComfyUI writes each document into a text field as "name:{...}", the graph into Model.
_COMFYUI_FIELDS = (ExifTags.Base.Make, ExifTags.Base.Model)
_COMFYUI_NAMES = ("prompt", "workflow")

_Field = tuple[int, int, int, int]  # tag, type, count, and value or offset


def exif_data(
    settings: Mapping[str, Any] | None, graph: str | None = None, workflow: str | None = None
) -> bytes:
    """EXIF data with settings as mflux writes them, and with a graph as ComfyUI writes it in WebP.

    Parameters
    ----------
    settings : mapping, optional
        JSON values, for the field UserComment.
    graph : str, optional
        A graph in API format as JSON, for the field Model.
    workflow : str, optional
        A file of ComfyUI's editor as JSON, for the field Make.
    """
    comment = None if settings is None else _COMMENT_PREFIX + json.dumps(dict(settings)).encode()
    texts = {  # in the order of the tags
        ExifTags.Base.Make: None if workflow is None else f"workflow:{workflow}",
        ExifTags.Base.Model: None if graph is None else f"prompt:{graph}",
    }
    written = {tag: text.encode() + b"\0" for tag, text in texts.items() if text is not None}
    end = len(_TIFF_HEADER) + _directory_size(len(written) + (comment is not None))
    fields: list[_Field] = []
    values = b""
    for tag, text in written.items():
        fields.append((tag, _ASCII, len(text), end + len(values)))
        values += text + b"\0" * (len(text) % 2)  # offsets are even
    if comment is not None:
        inner = end + len(values)
        fields.append((ExifTags.IFD.Exif, _LONG, 1, inner))
        start = inner + _directory_size(1)
        values += _directory([(ExifTags.Base.UserComment, _UNDEFINED, len(comment), start)]) + comment
    return b"Exif\0\0" + _TIFF_HEADER + _directory(fields) + values


def read_mflux_comment(path: Path) -> dict[str, Any] | None:
    """The generation settings that mflux wrote into a picture's EXIF UserComment; None if there are none.

    Raises
    ------
    ImageError
        If `path` is not a readable picture.
    """
    exif = _read(path)
    try:
        comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        settings = json.loads(_comment_text(bytes(comment)))
    except Exception:  # EXIF from another program: a comment that is not JSON, or data PIL cannot parse
        return None
    return settings if isinstance(settings, dict) else None


def read_comfyui_documents(path: Path) -> dict[str, str]:
    """The graph (``prompt``) and editor file (``workflow``) in EXIF fields, as ComfyUI writes them in WebP.

    Raises
    ------
    ImageError
        If `path` is not a readable picture.
    """
    exif = _read(path)
    texts = (str(exif.get(field, "")).rstrip("\0") for field in _COMFYUI_FIELDS)
    named = (text.partition(":") for text in texts)
    return {name: document for name, _, document in named if name in _COMFYUI_NAMES}


def _read(path: Path) -> Image.Exif:
    """A picture's EXIF data; empty if it has none, or PIL cannot parse them."""
    with opened(path) as image:
        data = image.info.get("exif")
    exif = Image.Exif()
    if isinstance(data, bytes):
        try:
            exif.load(data)
        except Exception:  # written by another program
            return Image.Exif()
    return exif


def _directory_size(count: int) -> int:
    return 2 + 12 * count + 4


def _directory(fields: Sequence[_Field]) -> bytes:
    """A directory; the offset of the next one is 0, since there is none."""
    packed = b"".join(struct.pack(">HHII", *field) for field in fields)
    return struct.pack(">H", len(fields)) + packed + bytes(4)


def _comment_text(comment: bytes) -> str:
    """A UserComment's text: EXIF names its character code in the first 8 bytes (CIPA DC-008, 4.6.5)."""
    code, content = comment[:8], comment[8:]
    if code != b"UNICODE\0":
        return comment.removeprefix(_COMMENT_PREFIX).lstrip(b"\0").decode()
    # The byte order is that of the TIFF structure, or of whoever rewrote it: JSON begins with an ASCII sign.
    return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le").lstrip("\ufeff")
