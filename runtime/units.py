"""Amounts for people: of memory, such as ``8GB``, and of time."""

from __future__ import annotations

import re

_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?B)", re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """Bytes in an amount such as ``8GB``, ``1.5 GiB`` or ``500MB``; the unit is required.

    Raises
    ------
    ValueError
        If the text is not such an amount or is less than a byte. The message says how to write one.
    """
    match = _AMOUNT.fullmatch(text.strip())
    number = float(match[1]) * _UNITS[match[2].upper()] if match else 0
    if number < 1:
        raise ValueError(f"{text!r} is not an amount of memory; write one such as 8GB, 1.5GiB or 500MB")
    return int(number)


def bytes_text(nbytes: float) -> str:
    """An amount for a message, in powers of 1000: ``23.8 GB``, ``4.1 MB``."""
    if nbytes >= 1e8:
        return f"{nbytes / 1e9:.1f} GB"
    return f"{nbytes / 1e6:.1f} MB"


def duration_text(seconds: float) -> str:
    """A length of time for a message: ``40 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
