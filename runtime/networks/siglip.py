"""SigLIP's vision tower (arXiv 2303.15343): a forward pass over mflux's modules, for any width and grid."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from run_graph.runtime.networks.attention import self_attention
from run_graph.runtime.networks.cpu import project
from run_graph.runtime.networks.elementwise import Activation, activation


def image_size(config: Mapping[str, Any]) -> int:
    """Width and height, in pixels, of the pictures that a checkpoint with this `config.json` expects."""
    return int(config.get("image_size", 384))


def encode(module: Any, config: Mapping[str, Any], pixels: mx.array) -> mx.array:
    """Hidden states of every patch, after the final layer norm, as Redux expects them.

    Parameters
    ----------
    module
        mflux's `SiglipVisionTransformer` with a checkpoint's weights applied. Its pooling head is not used.
    config
        The encoder's `config.json` (transformers format); `{}` means so400m-patch14-384's own values.
    pixels
        (B, S, S, 3), normalised to [-1, 1]. S is the checkpoint's `image_size`.

    Returns
    -------
    mx.array
        (B, m * m, D), row-major, with m = S // patch size; the model's dtype.

    Raises
    ------
    ValueError
        If the picture does not have as many patches as the checkpoint has positions.
    """
    heads = int(config.get("num_attention_heads", 16))
    eps = float(config.get("layer_norm_eps", 1e-6))
    act = activation(config.get("hidden_act", "gelu_pytorch_tanh"))
    hidden = embed(module.embeddings, pixels.astype(module.post_layernorm.weight.dtype))
    for layer in module.encoder.layers:
        hidden = _layer(layer, hidden, heads, eps, act)
    return mx.fast.layer_norm(hidden, module.post_layernorm.weight, module.post_layernorm.bias, eps)


def embed(embeddings: Any, pixels: mx.array) -> mx.array:
    """Cut into patches, project each, add the embedding of its position: (B, S, S, 3) -> (B, m * m, D)."""
    convolution = embeddings.patch_embedding
    patch = convolution.weight.shape[1]
    patches = _patches(pixels, patch)
    count, expected = patches.shape[1], embeddings.position_embedding.weight.shape[0]
    if count != expected:
        raise ValueError(
            f"this SigLIP takes pictures of {expected} patches of {patch} x {patch} pixels, "
            f"but one of {pixels.shape[2]} x {pixels.shape[1]} pixels gives {count}"
        )
    positions: mx.array = embeddings.position_embedding(mx.arange(count))
    embedded: mx.array = project(patches, convolution.weight.flatten(1), convolution.bias) + positions
    return embedded


def _patches(pixels: mx.array, patch: int) -> mx.array:
    """Cut (B, S, S, 3) into whole patches, a row for each: (B, m * m, patch * patch * 3), m = S // patch."""
    batch, height, width, channels = pixels.shape
    rows, columns = height // patch, width // patch
    whole = pixels[:, : rows * patch, : columns * patch]
    grid = whole.reshape(batch, rows, patch, columns, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(batch, rows * columns, -1)


def _layer(layer: Any, x: mx.array, heads: int, eps: float, act: Activation) -> mx.array:
    normed = mx.fast.layer_norm(x, layer.layer_norm1.weight, layer.layer_norm1.bias, eps)
    x = x + self_attention(layer.self_attn, normed, heads)
    normed = mx.fast.layer_norm(x, layer.layer_norm2.weight, layer.layer_norm2.bias, eps)
    update: mx.array = layer.mlp.fc2(act(layer.mlp.fc1(normed)))
    return x + update
