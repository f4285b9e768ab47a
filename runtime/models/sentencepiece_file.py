"""Read the vocabulary of a SentencePiece model.

The file is a Protocol Buffers message (https://protobuf.dev/programming-guides/encoding/) of the type
`ModelProto` (https://github.com/google/sentencepiece, src/sentencepiece_model.proto). Only the fields that a
tokenizer needs are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.files.regular import read_regular

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_PIECES, _NORMALIZER = 1, 3  # fields of ModelProto
_TEXT, _SCORE = 1, 2  # fields of ModelProto.SentencePiece
_CHARSMAP = 2  # field of NormalizerSpec


@dataclass(frozen=True)
class SentencePieceModel:
    """Pieces of text with their log probabilities, in the order of their ids.

    `charsmap` has the compiled normalisation rules; None if there are none.
    """

    pieces: list[tuple[str, float]]
    charsmap: bytes | None


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Read a file. Raises OSError, and ValueError if it is not a SentencePiece model."""
    pieces, charsmap = [], None
    try:
        for number, value in _fields(read_regular(path)):
            if number == _PIECES and isinstance(value, bytes):
                pieces.append(_piece(value))
            elif number == _NORMALIZER and isinstance(value, bytes):
                charsmap = dict(_fields(value)).get(_CHARSMAP) or None
    except (IndexError, struct.error) as error:
        raise ValueError(f"{path.name} is not a SentencePiece model") from error
    if not pieces:
        raise ValueError(f"{path.name} is not a SentencePiece model")
    return SentencePieceModel(pieces, charsmap if isinstance(charsmap, bytes) else None)


def _piece(message: bytes) -> tuple[str, float]:
    values = dict(_fields(message))
    text, score = values.get(_TEXT, b""), values.get(_SCORE, bytes(4))
    if not (isinstance(text, bytes) and isinstance(score, bytes)):
        raise IndexError("a field has another type")
    return text.decode(), struct.unpack("<f", score)[0]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number and value of each field; raises IndexError if the message is cut short."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise IndexError(f"wire type {wire}")
        if position + length > len(message):
            raise IndexError("cut short")
        yield number, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the position behind it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
