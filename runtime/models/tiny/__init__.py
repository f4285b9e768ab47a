"""The small trained checkpoint that lets every workflow run without a download.

It is in `checkpoint/`, in diffusers' folder layout; `README.md` here is its model card. It is loaded
like any other local folder.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

TINY_FOLDER = Path(__file__).parent / "checkpoint"


@lru_cache
def tiny_digest() -> str:
    """Twelve hex digits of the manifest, which names the SHA-256 of every file of the checkpoint."""
    return hashlib.sha256((TINY_FOLDER / "manifest.json").read_bytes()).hexdigest()[:12]
