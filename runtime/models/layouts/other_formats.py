"""What a file is that is no safetensors file, recognised by its first bytes."""

from __future__ import annotations

_AGAIN = "Download it again, for instance with the command `hf download`."
_PLAIN = "Use the same model in float32, float16, bfloat16 or fp8 as a .safetensors file."

_STARTS = (
    (b"SQLite format 3", "is a model of Draw Things, packed in a format of its own", _PLAIN),
    (b"GGUF", "is a GGUF file, which is not read here", _PLAIN),
    (b"PK\x03\x04", "is a file of PyTorch (a pickle), which may run code when it is read", _PLAIN),
    (b"\x80\x02", "is a file of PyTorch (a pickle), which may run code when it is read", _PLAIN),
    (b"version https://git-lfs", "is a pointer of Git LFS to a file that was not downloaded", _AGAIN),
    (b"<!DOCTYPE", "is a web page, not a model", _AGAIN),
    (b"<html", "is a web page, not a model", _AGAIN),
)

LONGEST = max(len(start) for start, _, _ in _STARTS)  # bytes


def other_format(start: bytes) -> str | None:
    """What a file is whose first bytes these are, and what to use instead; None if they tell nothing.

    The text follows a file's name in a sentence.
    """
    if start[8:9] == b"{":  # a safetensors file, whose header's length may begin like another format
        return None
    lower = start.lower()
    return next(
        (f"{what}. {instead}" for begin, what, instead in _STARTS if lower.startswith(begin.lower())), None
    )
