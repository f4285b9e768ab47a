"""Each component in mflux: its class, its definition, and its peculiarities."""

from collections.abc import Callable
from typing import Any, cast

import mlx.core as mx
from mflux.models.common.config import ModelConfig
from mflux.models.common.weights.loading.weight_definition import ComponentDefinition
from mflux.models.flux.model.flux_text_encoder.clip_encoder.clip_encoder import CLIPEncoder
from mflux.models.flux.model.flux_text_encoder.t5_encoder.t5_encoder import T5Encoder
from mflux.models.flux.model.flux_transformer.transformer import Transformer
from mflux.models.flux.model.flux_vae.vae import VAE
from mflux.models.flux.model.redux_encoder.redux_encoder import ReduxEncoder
from mflux.models.flux.model.siglip_vision_transformer.siglip_vision_transformer import (
    SiglipVisionTransformer,
)
from mflux.models.flux.weights.flux_weight_definition import FluxReduxWeightDefinition, FluxWeightDefinition
from mlx.utils import tree_unflatten

from run_graph.runtime.models.components import REDUX_COMPONENTS, Component
from run_graph.runtime.models.fitting import named

Weights = dict[str, Any]

GROUP_SIZE = 64  # Inputs that share one scale when mflux quantises with MLX.


def definition(component: Component) -> ComponentDefinition:
    """mflux's definition of the component: its folder and the mapping of its names."""
    definitions = FluxWeightDefinition.get_components() + FluxReduxWeightDefinition.get_components()
    return next(entry for entry in definitions if entry.hf_subdir == component)


def build(component: Component, weights: Weights) -> Any:
    """mflux's module for the component at FLUX.1's size; its arrays are not computed yet."""
    return _BUILDERS[component](weights)


def adjusted(component: Component, weights: Weights) -> Weights:
    """The weights that mflux has read, corrected to what the module expects."""
    return _ADJUSTMENTS[component](weights) if component in _ADJUSTMENTS else weights


def quantisation_rule(component: Component) -> Callable[[str, Any], bool]:
    """Which layers to quantise: mflux's rule, limited to rows that divide into whole groups."""
    family = FluxReduxWeightDefinition if component in REDUX_COMPONENTS else FluxWeightDefinition

    def predicate(path: str, module: Any) -> bool:
        if not hasattr(module, "to_quantized") or module.weight.shape[-1] % GROUP_SIZE:
            return False
        return bool(family.quantization_predicate(path, module))

    return predicate


def _build_transformer(weights: Weights) -> Any:
    has_guidance = "guidance_embedder" in weights.get("time_text_embed", {})
    return Transformer(ModelConfig.dev() if has_guidance else ModelConfig.schnell())


def _build_siglip(weights: Weights) -> Any:
    module = SiglipVisionTransformer()
    del module.head  # Redux reads the features of the patches, not the pooled one.
    return module


_BUILDERS: dict[Component, Callable[[Weights], Any]] = {
    "transformer": _build_transformer,
    "vae": lambda weights: VAE(),
    "text_encoder": lambda weights: CLIPEncoder(),
    "text_encoder_2": lambda weights: T5Encoder(),
    "image_encoder": _build_siglip,
    "image_embedder": lambda weights: ReduxEncoder(),
}


def _without_head(weights: Weights) -> Weights:
    kept = [
        (name, array)
        for name, array in named(weights).items()
        if not name.startswith("head.") and not name.endswith("position_ids")
    ]
    return cast(Weights, tree_unflatten(kept))


def _existing_t5_blocks(weights: Weights) -> Weights:
    # mflux copies the first block's position bias to 24 blocks, whether or not they exist.
    blocks = [block for block in weights.get("t5_blocks", []) if "ff" in block]
    return {**weights, "t5_blocks": blocks}


def _with_output_bias(weights: Weights) -> Weights:
    # mflux 0.16 to 0.21 saved models without this bias and computed with zeros.
    linear = weights.get("norm_out", {}).get("linear", {})
    if "weight" in linear and "bias" not in linear:
        linear["bias"] = mx.zeros(linear["weight"].shape[0], dtype=linear["weight"].dtype)
    return weights


_ADJUSTMENTS: dict[Component, Callable[[Weights], Weights]] = {
    "transformer": _with_output_bias,
    "text_encoder_2": _existing_t5_blocks,
    "image_encoder": _without_head,
}
