"""T5 v1.1's encoder (arXiv 1910.10683, 2002.05202): a forward pass over mflux's modules, for any width."""

import math
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks.attention import attend, split_heads
from run_graph.runtime.networks.elementwise import gelu_tanh


def encode(module: Any, config: Mapping[str, Any], ids: mx.array) -> mx.array:
    """Hidden states of a prompt's tokens, which condition FLUX.

    Padding is attended to like any other token, as in the reference FLUX pipelines.

    Parameters
    ----------
    module
        mflux's `T5Encoder` with a checkpoint's weights applied.
    config
        The encoder's `config.json` (transformers format); `{}` means T5 v1.1 XXL's own values.
    ids
        Token ids (B, N).

    Returns
    -------
    mx.array
        (B, N, D) in the model's dtype.
    """
    eps = float(config.get("layer_norm_epsilon", 1e-6))
    bias = _position_bias(module, config, ids.shape[1])
    hidden = module.shared(ids)
    for block in module.t5_blocks:
        hidden = hidden + _attention(block.attention, hidden, bias, eps)
        hidden = hidden + _feed_forward(block.ff, hidden, eps)
    return mx.fast.rms_norm(hidden, module.final_layer_norm.weight, eps)


def _position_bias(module: Any, config: Mapping[str, Any], length: int) -> mx.array:
    """Bias on the attention logits, (1, heads, N, N); every layer uses the first layer's."""
    table = module.t5_blocks[0].attention.SelfAttention.relative_attention_bias
    farthest = int(config.get("relative_attention_max_distance", 128))
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    buckets = relative_buckets(distance, table.weight.shape[0], farthest)
    bias: mx.array = table(mx.array(buckets))
    return bias.transpose(2, 0, 1)[None]


def relative_buckets(distance: np.ndarray, buckets: int, farthest: int) -> np.ndarray:
    """T5's bidirectional bucket for each signed token distance.

    Half the buckets are for keys after the query. In each half, the shortest distances have a bucket each
    and the others share buckets of logarithmically growing width, up to `farthest`.

    Parameters
    ----------
    distance
        Integers, key position minus query position.
    buckets
        Total number of buckets.
    farthest
        From this distance on, all distances share the last bucket.

    Returns
    -------
    np.ndarray
        int32 bucket numbers, in the shape of `distance`.
    """
    half = buckets // 2
    exact = half // 2
    magnitude = np.abs(distance)
    # Use float32 and exactly these operations: distances at a bucket's edge must fall as in training.
    growth = np.log(np.maximum(magnitude, 1).astype(np.float32) / exact) / math.log(farthest / exact)
    shared = np.minimum(exact + (growth * (half - exact)).astype(np.int32), half - 1)
    bucket: np.ndarray = np.where(magnitude < exact, magnitude, shared) + half * (distance > 0)
    return bucket.astype(np.int32)


def _attention(layer: Any, x: mx.array, bias: mx.array, eps: float) -> mx.array:
    attention = layer.SelfAttention
    normed = mx.fast.rms_norm(x, layer.layer_norm.weight, eps)
    heads = bias.shape[1]
    q, k, v = (split_heads(project(normed), heads) for project in (attention.q, attention.k, attention.v))
    # T5 does not scale its logits; the factor is part of the trained weights.
    update: mx.array = attention.o(attend(q, k, v, scale=1.0, mask=bias))
    return update


def _feed_forward(layer: Any, x: mx.array, eps: float) -> mx.array:
    gated = layer.DenseReluDense
    normed = mx.fast.rms_norm(x, layer.layer_norm.weight, eps)
    update: mx.array = gated.wo(gelu_tanh(gated.wi_0(normed)) * gated.wi_1(normed))
    return update
