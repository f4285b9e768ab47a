"""CLIP's text encoder: a forward pass over mflux's modules, for any width."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from run_graph.runtime.networks.attention import self_attention
from run_graph.runtime.networks.elementwise import Activation, activation

# Checkpoints converted before transformers' pull request 24773 wrongly give 2 as the end token.
LEGACY_END_TOKEN = 2


def pooled(module: Any, config: Mapping[str, Any], ids: mx.array) -> mx.array:
    """The hidden state at the end token, which attends to the whole prompt.

    Parameters
    ----------
    module
        mflux's `CLIPEncoder` with a checkpoint's weights applied.
    config
        The encoder's `config.json` (transformers format); `{}` means CLIP-L's own values.
    ids
        Token ids (B, N), N at most the number of positions in the checkpoint (77 for CLIP-L).

    Returns
    -------
    mx.array
        (B, D) in the model's dtype.
    """
    model = module.text_model
    heads = int(config.get("num_attention_heads", 12))
    eps = float(config.get("layer_norm_eps", 1e-5))
    act = activation(config.get("hidden_act", "quick_gelu"))
    hidden = model.embeddings.token_embedding(ids)
    hidden = hidden + model.embeddings.position_embedding(mx.arange(ids.shape[1]))
    for layer in model.encoder.layers:
        hidden = _layer(layer, hidden, heads, eps, act)
    ends = end_positions(ids, int(config.get("eos_token_id", LEGACY_END_TOKEN)))
    at_end = mx.take_along_axis(hidden, ends[:, None, None], axis=1)[:, 0]
    return mx.fast.layer_norm(at_end, model.final_layer_norm.weight, model.final_layer_norm.bias, eps)


def end_positions(ids: mx.array, end_token: int) -> mx.array:
    """Position (B,) of the first end token in each row of ids (B, N).

    For `LEGACY_END_TOKEN`, which is not the real end token, it is the first occurrence of the highest id:
    CLIP's end token is the last in its vocabulary. Both rules are from transformers' CLIPTextModel.
    """
    if end_token == LEGACY_END_TOKEN:
        return mx.argmax(ids, axis=-1)
    return mx.argmax((ids == end_token).astype(mx.int32), axis=-1)


def _layer(layer: Any, x: mx.array, heads: int, eps: float, act: Activation) -> mx.array:
    normed = mx.fast.layer_norm(x, layer.layer_norm1.weight, layer.layer_norm1.bias, eps)
    x = x + self_attention(layer.self_attn, normed, heads, mask="causal")
    normed = mx.fast.layer_norm(x, layer.layer_norm2.weight, layer.layer_norm2.bias, eps)
    update: mx.array = layer.mlp.fc2(act(layer.mlp.fc1(normed)))
    return x + update
