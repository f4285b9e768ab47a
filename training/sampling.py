"""Draw pictures from an exported checkpoint in batches, with diffusers' and transformers' modules in float32.

For evaluation only. run-graph draws the same pictures one by one; its parity tests bound the difference.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from run_graph.runtime.sampling.schedules import sigmas
from training import sizes
from training.flow import Painter
from training.grid import GRIDS
from training.latents import from_model
from training.pictures import Pictures
from training.tokens import Tokenizers
from training.vision import siglip_input

SIDE, TOKENS, CHANNELS = 96, 36, 64
BATCH = 64
GUIDANCE = 3.5


class Checkpoint:
    """An exported checkpoint's networks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vae = self._read(sizes.autoencoder(), "vae")
        self.siglip = self._read(sizes.vision_encoder(), "image_encoder", "vision_model.")
        self.painter = Painter().eval().requires_grad_(False)
        self._read(self.painter.t5, "text_encoder_2")
        self._read(self.painter.clip, "text_encoder", "text_model.")
        self._read(self.painter.redux, "image_embedder")
        self._read(self.painter.transformer, "transformer")
        self.tokenizers = Tokenizers()

    def _read(self, module: Any, part: str, prefix: str = "") -> Any:
        """Load a module's weights from the part's file; transformers 5 does not use the published prefix."""
        weights = load_file(next((self.folder / part).glob("*.safetensors")))
        names = module.state_dict().keys()
        if prefix and not any(name.startswith(prefix) for name in names):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
        missing, unknown = module.load_state_dict({n: t.float() for n, t in weights.items()}, strict=False)
        tied = {"encoder.embed_tokens.weight"}  # T5's second name for `shared.weight`.
        if unknown or set(missing) - tied:
            raise SystemExit(f"{part}: missing {missing}, unknown {unknown}")
        return module.eval().requires_grad_(False)

    @torch.no_grad()
    def draw(
        self,
        captions: list[str],
        seeds: list[int],
        steps: int = 8,
        factor: int = 0,
        references: Pictures | None = None,
    ) -> Pictures:
        """Pictures (n, 96, 96, 3) in [0, 1]. Noise is torch's, so run-graph's differs for the same seed."""
        parts = []
        for start in range(0, len(captions), BATCH):
            chosen = slice(start, start + BATCH)
            shown = None if references is None else references[chosen]
            parts.append(self._batch(captions[chosen], seeds[chosen], steps, factor, shown))
        return np.concatenate(parts)

    def _batch(
        self, captions: list[str], seeds: list[int], steps: int, factor: int, references: Pictures | None
    ) -> Pictures:
        tokens, pooled = self.painter.conditioning(*self.tokenizers(captions))
        if references is not None:
            features = self.siglip(pixel_values=siglip_input(references, exact=True)).last_hidden_state
            tokens = torch.cat([tokens, self.painter.redux_tokens(features, GRIDS[factor], "area")], dim=1)
        latents = torch.stack([self._noise(seed) for seed in seeds])
        guidance = torch.full((len(seeds),), GUIDANCE)
        levels = sigmas(steps, SIDE, SIDE, shift=True)
        for sigma, following in pairwise(levels):
            now = torch.full((len(seeds),), sigma)
            latents = latents + (following - sigma) * self.painter.velocity(
                latents, now, tokens, pooled, guidance
            )
        decoded = self.vae.decode(from_model(latents)).sample
        return np.asarray((decoded.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1).numpy())

    @staticmethod
    def _noise(seed: int) -> Tensor:
        return torch.randn(TOKENS, CHANNELS, generator=torch.Generator().manual_seed(seed))
