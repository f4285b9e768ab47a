"""A model smaller than ``tiny``, for tests of files and processes rather than numbers."""

from __future__ import annotations

from pathlib import Path

SMALL = {
    "heads": 2,
    "joint_blocks": 1,
    "single_blocks": 1,
    "clip_layers": 1,
    "t5_tokens": 16,
    "vae_channels": (8, 16, 24, 24),
    "siglip_layers": 1,
}


def make_small_model(folder: Path) -> str:
    """Write its checkpoint, for LoadFlux and LoadRedux; return the folder's name."""
    from training.layout.make import make_checkpoint
    from training.layout.spec import TinySpec

    make_checkpoint(folder, TinySpec(**SMALL))  # type: ignore[arg-type]
    return str(folder)
