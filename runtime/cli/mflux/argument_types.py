"""Values of the flags, read from text; a value that does not fit raises argparse's ArgumentTypeError."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError

SMALLEST_TILE = 128  # mflux's tiles overlap by 64 pixels; ours do too.


def finite(text: str) -> float:
    """A finite number."""
    value = _number(text)
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is not a finite number; write one such as 0.5")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    if (value := finite(text)) <= 0:
        raise ArgumentTypeError(f"{text!r} is not above 0; write a number such as 2")
    return value


def integer(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number; write one such as 4") from None


def positive_integer(text: str) -> int:
    """A whole number of at least 1."""
    if (value := integer(text)) < 1:
        raise ArgumentTypeError(f"{text!r} is below 1; write 1 or more")
    return value


def seed(text: str) -> int:
    """A whole number in 0..2**64-1."""
    if not 0 <= (value := integer(text)) < 2**64:
        raise ArgumentTypeError(f"{text!r} is not a seed; write a whole number from 0 to {2**64 - 1}")
    return value


def side(text: str) -> int:
    """Pixels, at least 16."""
    if (value := integer(text)) < 16:
        raise ArgumentTypeError(f"{text!r} is below 16 pixels; write 16 or more")
    return value


def tile_size(text: str) -> int:
    """Pixels: a multiple of 16, at least 128."""
    value = integer(text)
    if value < SMALLEST_TILE or value % 16:
        raise ArgumentTypeError(
            f"{text!r} is not a size of tiles; write a multiple of 16 that is at least {SMALLEST_TILE}"
        )
    return value


def percentage(text: str) -> int:
    """A whole number, clamped to 1..99 as in mflux."""
    return max(1, min(99, integer(text)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number; write one such as 0.5") from None
