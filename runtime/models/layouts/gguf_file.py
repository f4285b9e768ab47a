"""The headers of GGUF files, versions 2 and 3. Nothing of a file is believed before it is checked.

Source: `docs/gguf.md` of ggml. Numbers are little-endian; a text is its length (8 bytes) and UTF-8. A file is
magic, version, the numbers of tensors and of metadata entries; then the entries; then for each tensor name,
dimensions (the fastest first), type and place; then, aligned, the data. Imports no MLX.
"""

from __future__ import annotations

import math
import os
import struct
from io import BufferedReader
from pathlib import Path
from typing import Any

from run_graph.runtime.models.inspection import Header, Tensor
from run_graph.runtime.models.layouts.gguf_types import SIZES, type_name

MAGIC = b"GGUF"
VERSIONS = (2, 3)

_LONGEST_HEADER = 100_000_000  # bytes; T5's vocabulary takes one million
_LONGEST_TEXT = 1_000_000  # bytes that are kept of the metadata's texts
_MOST_TENSORS = 100_000
_MOST_DIMENSIONS = 4
_MOST_NUMBERS = 16  # of an array that is kept
_ALIGNMENT = 32
_AGAIN = "Download or copy it again."

# Numbers of the metadata's types: how struct reads them.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
# What city96's converter writes for a tensor that it had to reshape: the shape to give it back.
_SHAPE = "comfy.gguf.orig_shape."


def read_gguf_header(file: BufferedReader, path: Path) -> Header:
    """The header of a GGUF file that was just opened.

    Types of tensors are named as in `gguf_types`; shapes are those of arrays, the fastest dimension last. Of
    the metadata, texts are kept.

    Raises
    ------
    ValueError
        If it is no GGUF file of a known version, is damaged or cut short. The message is a complete sentence.
    """
    try:
        return _Reader(file, path).header()
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"{path} has an unreadable GGUF header. {_AGAIN}") from error


class _Reader:
    def __init__(self, file: BufferedReader, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = os.fstat(file.fileno()).st_size
        self._place = 0

    def header(self) -> Header:
        if self._bytes(4) != MAGIC:
            raise ValueError(f"{self._path} is not a GGUF file. {_AGAIN}")
        version = self._number("I")
        if version not in VERSIONS:
            raise ValueError(
                f"{self._path} is a GGUF file of version {version}, or of a machine with another order of "
                "bytes; versions 2 and 3 are read. Use another file."
            )
        tensors, entries = self._number("Q"), self._number("Q")
        if tensors > _MOST_TENSORS:
            raise self._damaged(f"it promises {tensors:,} tensors")
        metadata = dict(self._entry() for _ in range(entries))
        infos = [self._info() for _ in range(tensors)]
        return self._checked(infos, metadata)

    def _checked(
        self, infos: list[tuple[str, tuple[int, ...], str, int]], metadata: dict[str, Any]
    ) -> Header:
        alignment = metadata.get("general.alignment", _ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment % 8:
            raise self._damaged(f"its alignment is {alignment!r}")
        data = -(-self._place // alignment) * alignment
        found: dict[str, Tensor] = {}
        for name, shape, kind, offset in infos:
            if name in found:
                raise self._damaged(f"it has two tensors called {name}")
            nbytes = self._nbytes(name, shape, kind)
            if offset % alignment or data + offset + nbytes > self._size:
                expected = data + offset + nbytes
                raise self._damaged(f"{name} ends at byte {expected:,} of {self._size:,}")
            found[name] = Tensor(kind, self._given_back(name, shape, metadata), nbytes, data + offset)
        return Header(found, {name: text for name, text in metadata.items() if isinstance(text, str)})

    def _nbytes(self, name: str, shape: tuple[int, ...], kind: str) -> int:
        if kind not in SIZES:
            return 0  # of a type that nobody here knows; it is refused by its name
        weights, nbytes = SIZES[kind]
        if shape[-1] % weights:
            raise self._damaged(f"rows of {shape[-1]} numbers of {name} do not divide into blocks of {kind}")
        return math.prod(shape) // weights * nbytes

    def _given_back(self, name: str, shape: tuple[int, ...], metadata: dict[str, Any]) -> tuple[int, ...]:
        original = metadata.get(_SHAPE + name)
        if not isinstance(original, tuple):
            return shape
        if math.prod(original) != math.prod(shape):
            raise self._damaged(f"{name} has shape {shape}, which cannot be {original}")
        return original

    def _entry(self) -> tuple[str, Any]:
        return self._text(), self._value(self._number("I"))

    def _info(self) -> tuple[str, tuple[int, ...], str, int]:
        name, dimensions = self._text(), self._number("I")
        if not 0 < dimensions <= _MOST_DIMENSIONS:
            raise self._damaged(f"{name} has {dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]
        kind, offset = self._number("I"), self._number("Q")
        if min(shape) < 1 or math.prod(shape) > 2**48:
            raise self._damaged(f"{name} has shape {shape}")
        return name, shape, type_name(kind), offset

    def _value(self, kind: int) -> Any:
        """A value of the metadata: a text, a number, a tuple of few whole numbers; None for other arrays."""
        if kind == _TEXT:
            return self._text()
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind != _ARRAY:
            raise self._damaged(f"its metadata has a value of type {kind}")
        item, count = self._number("I"), self._number("Q")
        if item == _TEXT:
            for _ in range(count):
                self._skip(self._number("Q"))
        elif item not in _NUMBERS:
            raise self._damaged(f"its metadata has an array of type {item}")
        elif count <= _MOST_NUMBERS:
            return tuple(self._number(_NUMBERS[item]) for _ in range(count))
        else:
            self._skip(count * struct.calcsize(f"<{_NUMBERS[item]}"))
        return None

    def _number(self, form: str) -> Any:
        [number] = struct.unpack(f"<{form}", self._bytes(struct.calcsize(f"<{form}")))
        return number

    def _text(self) -> str:
        length = self._number("Q")
        if length > _LONGEST_TEXT:
            raise self._damaged(f"a text of its header has {length:,} bytes")
        return self._bytes(length).decode("utf-8", "replace")

    def _bytes(self, count: int) -> bytes:
        self._reserve(count)
        content = self._file.read(count)
        if len(content) != count:
            raise self._damaged("its header is cut short")
        return content

    def _skip(self, count: int) -> None:
        self._reserve(count)
        self._file.seek(count, os.SEEK_CUR)

    def _reserve(self, count: int) -> None:
        """Go on by so many bytes, if the file has them and the header is not unreasonably long."""
        self._place += count
        if self._place > min(self._size, _LONGEST_HEADER):
            raise self._damaged("its header is cut short, or longer than any")

    def _damaged(self, why: str) -> ValueError:
        return ValueError(f"{self._path} is damaged or cut short: {why}. {_AGAIN}")
