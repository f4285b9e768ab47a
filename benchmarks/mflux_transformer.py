"""mflux's own transformer with one block of each kind, at FLUX.1's width and narrower."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mflux.models.common.config.config import Config
from mflux.models.common.config.model_config import ModelConfig
from mflux.models.flux.model.flux_transformer.ada_layer_norm_zero import AdaLayerNormZero
from mflux.models.flux.model.flux_transformer.transformer import Transformer
from mlx.utils import tree_map

from run_graph.runtime.device import compute_dtype

FULL_WIDTH, HEAD = 3072, 128


class _Norm(AdaLayerNormZero):  # type: ignore[misc]  # mflux has no types
    """mflux's norm, which assumes FLUX.1's width, for any width."""

    def __call__(self, hidden_states: mx.array, text_embeddings: mx.array) -> tuple[mx.array, ...]:
        vectors = mx.split(self.linear(nn.silu(text_embeddings)), 6, axis=-1)
        shift, scale, gate, *feed_forward = vectors
        normed = self.norm(hidden_states) * (1 + scale[:, None]) + shift[:, None]
        return normed, gate, *feed_forward


def mflux_transformer(width: int) -> Any:
    """mflux's `Transformer` with random weights, in the precision used for computing.

    `width` must divide 3072 and be a multiple of 128, the channels of a head.
    """
    module = Transformer(ModelConfig.dev(), num_transformer_blocks=1, num_single_transformer_blocks=1)
    if width != FULL_WIDTH:
        _narrow(module, width)
    module.set_dtype(compute_dtype())
    mx.eval(module.parameters())
    return module


def sample_with_mflux(
    module: Any, tokens: mx.array, pooled: mx.array, latents: mx.array, steps: int, side: int
) -> mx.array:
    """Sample a square picture of `side` pixels as mflux does: its transformer and its scheduler."""
    config = Config(ModelConfig.dev(), num_inference_steps=steps, height=side, width=side, guidance=3.5)
    for step in range(steps):
        noise = module(step, config, latents, tokens, pooled)
        latents = config.scheduler.step(noise=noise, timestep=step, latents=latents)
        mx.eval(latents)
    return latents


def _narrow(module: Any, width: int) -> None:
    """Replace every width that is a multiple of FLUX.1's by the same multiple of `width`."""

    def size(channels: int) -> int:
        return channels * width // FULL_WIDTH if channels % FULL_WIDTH == 0 else channels

    def narrowed(layer: Any) -> Any:
        if type(layer) is not nn.Linear:
            return layer
        outputs, inputs = layer.weight.shape
        return nn.Linear(size(inputs), size(outputs), bias="bias" in layer)

    module.update_modules(tree_map(narrowed, module.leaf_modules(), is_leaf=nn.Module.is_module))
    [joint], [single] = module.transformer_blocks, module.single_transformer_blocks
    for name in ("norm1", "norm1_context"):
        norm = _Norm()
        norm.linear = joint[name].linear
        joint[name] = norm
    single.norm.dim = module.norm_out.embedding_dim = width
    for attention in (joint.attn, single.attn):
        attention.num_heads = width // HEAD
