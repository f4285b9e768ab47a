"""Which linear map shows a model's latents as colours."""

from __future__ import annotations

import json
from functools import cache

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.tiny import TINY_FOLDER
from run_graph.runtime.networks.latent_rgb import FLUX_RGB, LatentRgb

TINY_RGB_FILE = TINY_FOLDER.parent / "latent_rgb.json"
"""What `training/latent_rgb.py` fitted."""


def latent_rgb_of(checkpoint: Checkpoint) -> LatentRgb:
    """`tiny`'s own map for its transformer, FLUX.1's for every other."""
    return _tiny() if checkpoint.holder("transformer").is_built_in else FLUX_RGB


@cache
def _tiny() -> LatentRgb:
    return LatentRgb(**json.loads(TINY_RGB_FILE.read_text()))
