"""The text chunks of a PNG file, read without decoding the picture.

The reader goes from chunk to chunk by their lengths: it skips the pixels and also finds text after them.
Compressed text is expanded only up to a limit, because a few kilobytes can expand to gigabytes.
The format is defined in the PNG specification (W3C, third edition), sections 5 and 11.3.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 64 * 1024 * 1024
"""The most text read from one file, after expansion. Workflows of thousands of nodes take a few megabytes."""

_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


class PngTextError(ValueError):
    """A PNG file's text is damaged or too large; the message names the file."""


def read_text(path: Path) -> dict[str, str]:
    """The text chunks of a PNG file by keyword; if a keyword is repeated, the last one wins.

    A file that is not a PNG gives an empty dict. A truncated PNG gives the text before the cut.

    Raises
    ------
    PngTextError
        If a text chunk is damaged, or the text is longer than `MAX_TEXT_BYTES`.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return {}
        texts: dict[str, str] = {}
        left = MAX_TEXT_BYTES
        for kind, length in _chunks(file):
            if kind not in _TEXT_CHUNKS:
                continue
            if length > left:
                raise _too_long(path)
            keyword, raw, encoding = _parse(kind, file.read(length), left, path)
            left -= len(raw)
            texts[keyword] = raw.decode(encoding, "replace")
    return texts


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Type and length of each chunk, with the file positioned at its data; the caller need not read it."""
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        start = file.tell()
        yield kind, length
        if kind == b"IEND":
            return
        file.seek(start + length + 4)  # 4 bytes of check sum follow the data


def _parse(kind: bytes, data: bytes, limit: int, path: Path) -> tuple[str, bytes, str]:
    """Keyword, expanded text and its encoding."""
    keyword, _, rest = data.partition(b"\0")
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        return name, rest, "latin-1"
    if kind == b"zTXt":
        # The first byte names the compression method; there is only one.
        return name, _expand(rest[1:], limit, path), "latin-1"
    compressed, fields = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(fields) != 3:
        raise PngTextError(f"{path}: the text {name!r} is damaged; save the picture again")
    return name, _expand(fields[2], limit, path) if compressed else fields[2], "utf-8"


def _expand(data: bytes, limit: int, path: Path) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise PngTextError(f"{path}: compressed text is damaged ({error}); save the picture again") from error
    if len(text) > limit:
        raise _too_long(path)
    return text


def _too_long(path: Path) -> PngTextError:
    return PngTextError(
        f"{path}: its text is longer than {MAX_TEXT_BYTES:,} bytes; remove its metadata to read the picture"
    )
