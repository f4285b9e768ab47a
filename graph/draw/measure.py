"""Text for pictures: make it printable, estimate its width without a font, and cut it to a width."""

from __future__ import annotations

import json
import unicodedata
from functools import lru_cache
from typing import Any

from run_graph.graph.workflow import unwrapped

ELLIPSIS = "…"

# Advance widths in ems of a common sans-serif font: Helvetica's, rounded up.
_NARROW = frozenset("iljtfrI.,:;'`|!()[]{}/\\ -")
_WIDE = frozenset("mwMW@%—")


def plain(text: str) -> str:
    """The text on one line, without characters that a terminal or an XML parser would interpret.

    Runs of white space become one space; control characters, lone surrogates and direction marks
    become ``\N{REPLACEMENT CHARACTER}``.
    """
    line = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def value_text(value: Any, limit: int = 200) -> str:
    """A JSON value as one printable line of at most ``limit`` characters; quoted only if an empty string."""
    value = unwrapped(value)
    if isinstance(value, str) and value:
        text = value[: 4 * limit]
    else:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    return cut(plain(text), limit)


def cut(text: str, limit: int) -> str:
    """The text, cut with an ellipsis if it has more than ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS


@lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """The approximate width of a line of text, in the unit of ``size``, the font size."""
    return size * sum(map(_advance, text))


def fitted(text: str, size: float, width: float) -> str:
    """The text, cut with an ellipsis if it is wider than ``width``."""
    if text_width(text, size) <= width:
        return text
    room = width - size * _advance(ELLIPSIS)
    for kept, char in enumerate(text):
        room -= size * _advance(char)
        if room < 0:
            return text[:kept].rstrip() + ELLIPSIS
    return text


def _advance(char: str) -> float:
    if char in _NARROW:
        return 0.34
    if char in _WIDE:
        return 0.9
    if char.isascii():
        return 0.7 if char.isupper() else 0.57
    if unicodedata.combining(char):
        return 0.0
    return 1.05 if unicodedata.east_asian_width(char) in "WF" else 0.7
