"""The formats that pictures are saved in, and the files that may carry a workflow. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

SavedFormat = Literal["png", "jpeg", "webp", "avif"]
MetadataKept = Literal["all", "settings", "none"]

SUFFIXES: dict[str, SavedFormat] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".avif": "avif",
}
"""What a file name's suffix says of its format. The first suffix of a format is the one that is written."""

PICTURE_SUFFIXES = tuple(SUFFIXES)


def suffix_of(saved: SavedFormat) -> str:
    """The suffix, with its dot, that files of a format get."""
    return next(suffix for suffix, known in SUFFIXES.items() if known == saved)
