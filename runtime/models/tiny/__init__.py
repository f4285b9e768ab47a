"""The small trained checkpoint with which every workflow runs without a download.

It is in `checkpoint/`, in diffusers' folder layout, and `README.md` is its model card. It is loaded like any
other local folder.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

TINY_FOLDER = Path(__file__).parent / "checkpoint"


@lru_cache
def tiny_digest() -> str:
    """Twelve hex digits of the SHA-256 of the manifest, which lists the SHA-256 of every file."""
    return hashlib.sha256((TINY_FOLDER / "manifest.json").read_bytes()).hexdigest()[:12]
