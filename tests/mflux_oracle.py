"""mflux's own modules with the weights that run-graph has loaded: what its forward passes compute."""

from typing import Any

import mlx.nn as nn
from mflux.models.common.config import ModelConfig
from mflux.models.flux.model.flux_text_encoder.clip_encoder.clip_encoder import CLIPEncoder
from mflux.models.flux.model.flux_text_encoder.t5_encoder.t5_encoder import T5Encoder
from mflux.models.flux.model.flux_transformer.transformer import Transformer
from mflux.models.flux.model.flux_vae.vae import VAE
from mflux.models.flux.model.redux_encoder.redux_encoder import ReduxEncoder
from mflux.models.flux.model.siglip_vision_transformer.siglip_vision_transformer import (
    SiglipVisionTransformer,
)

from run_graph.runtime.models.components import Component
from run_graph.runtime.networks.cpu import use_numpy_linears


def mflux_module(component: Component, ours: Any) -> Any:
    """mflux's module, with as many blocks as `ours` and its weights."""
    module: Any = _made(component, ours)
    _trim(module, ours)
    module.update(ours.parameters())
    use_numpy_linears(module)  # faster on a CPU
    return module


def _made(component: Component, ours: Any) -> nn.Module:
    if component == "transformer":
        guided = "guidance_embedder" in ours.time_text_embed
        return Transformer(ModelConfig.dev() if guided else ModelConfig.schnell())
    classes = {
        "vae": VAE,
        "text_encoder": CLIPEncoder,
        "text_encoder_2": T5Encoder,
        "image_encoder": SiglipVisionTransformer,
        "image_embedder": ReduxEncoder,
    }
    return classes[component]()


def _trim(theirs: Any, ours: Any) -> None:
    """Drop the blocks that `ours` does not have, and SigLIP's head, which run-graph leaves out."""
    for name, child in list(theirs.items()):
        if name == "head":
            del theirs[name]
        elif name not in ours:
            continue  # without weights, such as the positions' rotations
        elif isinstance(child, list):
            theirs[name] = child[: len(ours[name])]
            for block, own in zip(theirs[name], ours[name], strict=True):
                _trim(block, own)
        elif isinstance(child, nn.Module):
            _trim(child, ours[name])
