"""Weights in prompts, as ComfyUI reads them: ``(x)`` counts 1.1 times, ``(x:1.3)`` 1.3 times.

Nested brackets multiply 1.1, but a number replaces the weight around it. ``\\(`` and ``\\)`` are plain
brackets, and the rest of a text with an unclosed bracket is plain text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

_PLAIN_WEIGHT, _BRACKET = 1.0, 1.1
# Stand for escaped brackets while brackets are matched; no prompt contains NUL.
_ESCAPED = {"\\(": "\0\2", "\\)": "\0\1"}


class Piece(NamedTuple):
    """A piece of a prompt and its weight. Each piece is tokenised by itself."""

    text: str
    weight: float


def pieces(prompt: str) -> list[Piece]:
    """The pieces of a prompt, in order."""
    for escaped, mark in _ESCAPED.items():
        prompt = prompt.replace(escaped, mark)
    return [Piece(_unmarked(piece.text), piece.weight) for piece in _weighted(prompt, _PLAIN_WEIGHT)]


def _weighted(text: str, weight: float) -> Iterator[Piece]:
    for part in _bracketed(text):
        if not (len(part) >= 2 and part.startswith("(") and part.endswith(")")):
            yield Piece(part, weight)
            continue
        inner, own = part[1:-1], weight * _BRACKET
        colon = inner.rfind(":")
        if colon > 0:
            with contextlib.suppress(ValueError):  # a colon of the text
                own, inner = float(inner[colon + 1 :]), inner[:colon]
        yield from _weighted(inner, own)


def _bracketed(text: str) -> Iterator[str]:
    """The parts of a text in outermost brackets, brackets included, and those between them."""
    start = depth = 0
    for index, character in enumerate(text):
        if character == "(":
            if depth == 0 and index > start:
                yield text[start:index]
            if depth == 0:
                start = index
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                yield text[start : index + 1]
                start = index + 1
    if start < len(text):
        yield text[start:]


def _unmarked(text: str) -> str:
    for escaped, mark in _ESCAPED.items():
        text = text.replace(mark, escaped[1])
    return text
