"""Multi-head attention over (B, N, D) sequences, for any width and any batch."""

from typing import Any

import mlx.core as mx

from run_graph.runtime.networks import cpu


def split_heads(x: mx.array, heads: int) -> mx.array:
    """(B, N, heads * d) -> (B, heads, N, d)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)


def merge_heads(x: mx.array) -> mx.array:
    """(B, heads, N, d) -> (B, N, heads * d)."""
    batch, heads, length, width = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * width)


def attend(
    q: mx.array, k: mx.array, v: mx.array, *, scale: float | None = None, mask: mx.array | str | None = None
) -> mx.array:
    """Scaled dot-product attention in the inputs' dtype; MLX takes the softmax in float32.

    Parameters
    ----------
    q, k, v
        (B, heads, N, d) each.
    scale
        Factor on the logits; `1 / sqrt(d)` by default.
    mask
        Added to the logits, broadcast to (B, heads, N, N); or `"causal"`.

    Returns
    -------
    mx.array
        (B, N, heads * d).
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    mixed = cpu.attention(q, k, v, scale, mask)
    if mixed is None:
        mixed = merge_heads(mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask))
    return mixed


def self_attention(layer: Any, x: mx.array, heads: int, mask: str | None = None) -> mx.array:
    """Self-attention of CLIP and SigLIP: x (B, N, D) through `q_proj`, `k_proj`, `v_proj`, `out_proj`."""
    q, k, v = (split_heads(project(x), heads) for project in (layer.q_proj, layer.k_proj, layer.v_proj))
    mixed: mx.array = layer.out_proj(attend(q, k, v, mask=mask))
    return mixed
