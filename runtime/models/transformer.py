"""FLUX.1's transformer: a forward pass over mflux's modules, for any width and any batch.

mflux's classes fix FLUX's real width (3072, 24 heads of 128) in their arithmetic. Here they are only
containers of (possibly quantised, possibly LoRA-adapted) layers: the head's width is read from the
query norm, the number of heads from the projection, the position axes from the checkpoint's config.

The architecture is that of black-forest-labs/flux and diffusers' FluxTransformer2DModel: joint blocks
keep separate weights for the text side and the image side and attend over both; single blocks see one
sequence [text | image]. Every feed-forward uses the tanh GELU, as both references do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from runtime.models.attention import attend, split_heads
from runtime.models.elementwise import gated_add, gelu_tanh, modulate, silu
from runtime.models.errors import CheckpointError
from runtime.models.rope import positions, rotate, rotations

NORM_EPS = 1e-6
DEFAULT_AXES = (16, 56, 56)
FREQUENCIES = 128  # of the sinusoidal embedding of sigma and guidance


@dataclass(frozen=True)
class Prepared:
    """What stays the same between the steps of one picture.

    Attributes
    ----------
    text
        Embedded text tokens (B, N, width).
    embedding
        Embedding of the pooled prompt and the guidance (B, width); each step adds its noise level's.
    cos, sin
        Rotations of the sequence [text | image], (N + image tokens, head width / 2) float32.
    attention_bias
        Added to every block's attention logits, broadcast to (B, heads, S, S) with S = N + image tokens;
        or None.
    """

    text: mx.array
    embedding: mx.array
    cos: mx.array
    sin: mx.array
    attention_bias: mx.array | None = None


class FluxTransformer:
    """Predicts the velocity of FLUX.1's rectified flow.

    Parameters
    ----------
    module
        mflux's `Transformer` with a checkpoint's weights applied.
    config
        The transformer's `config.json` (diffusers format); `{}` means FLUX.1's own values.

    Raises
    ------
    CheckpointError
        If the position axes do not add up to the width of the checkpoint's attention heads.
    """

    def __init__(self, module: Any, config: Mapping[str, Any]) -> None:
        self.module = module
        self.axes: tuple[int, ...] = tuple(config.get("axes_dims_rope", DEFAULT_AXES))
        # Of a norm's weight, since a linear layer may be wrapped in a LoRA's.
        _check_axes(self.axes, module.transformer_blocks[0].attn.norm_q.weight.shape[0])
        self.dtype: mx.Dtype = module.transformer_blocks[0].attn.norm_q.weight.dtype
        embedder = module.time_text_embed.guidance_embedder
        self.guided: bool = embedder is not None and bool(config.get("guidance_embeds", True))

    def prepare(
        self,
        tokens: mx.array,
        pooled: mx.array,
        guidance: float,
        height: int,
        width: int,
        attention_bias: mx.array | None = None,
    ) -> Prepared:
        """Compute, once per picture, all that does not depend on the latents or the noise level.

        Parameters
        ----------
        tokens
            T5's tokens, with Redux's appended: (B, N, text width).
        pooled
            CLIP's pooled prompt (B, pooled width).
        guidance
            Guidance scale; ignored by checkpoints without a guidance embedder (schnell).
        height, width
            Pixels, multiples of 16.
        attention_bias
            See `Prepared`.
        """
        embed = self.module.time_text_embed
        embedding = _mlp(embed.text_embedder, pooled.astype(self.dtype))
        if self.guided:
            embedding = embedding + _mlp(embed.guidance_embedder, self._sinusoid(guidance))
        cos, sin = rotations(positions(tokens.shape[1], height // 16, width // 16), self.axes)
        return Prepared(
            text=self.module.context_embedder(tokens.astype(self.dtype)),
            embedding=embedding,
            cos=cos,
            sin=sin,
            attention_bias=None if attention_bias is None else attention_bias.astype(self.dtype),
        )

    def velocity(self, latents: mx.array, sigma: float, prepared: Prepared) -> mx.array:
        """Velocity of packed latents (B, h * w, 64) at noise level `sigma` (0 to 1).

        Returns (B, h * w, 64) in the model's dtype.
        """
        module = self.module
        embedding = prepared.embedding + _mlp(module.time_text_embed.timestep_embedder, self._sinusoid(sigma))
        condition = silu(embedding)
        image, text = module.x_embedder(latents.astype(self.dtype)), prepared.text
        for block in module.transformer_blocks:
            text, image = _joint_block(block, text, image, condition, prepared)
        sequence = mx.concatenate([text, image], axis=1)
        for block in module.single_transformer_blocks:
            sequence = _single_block(block, sequence, condition, prepared)
        image = sequence[:, text.shape[1] :]
        scale, shift = _modulation(module.norm_out, condition, 2)
        velocity: mx.array = module.proj_out(modulate(_norm(image), shift, scale))
        return velocity

    def _sinusoid(self, value: float) -> mx.array:
        """Embed sigma or guidance: cosines then sines of 1000 * value at 128 frequencies, (1, 256)."""
        # An angle may be thousands of radians, where float32's rounding shows. The reference rounds the
        # exponents, the frequencies and the angles to float32, so these are rounded there and only there.
        exponents = np.float32(-math.log(10_000)) * np.arange(FREQUENCIES, dtype=np.float32) / FREQUENCIES
        frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
        angles = (np.float32(1000 * value) * frequencies).astype(np.float64)
        return mx.array(np.concatenate([np.cos(angles), np.sin(angles)])[None]).astype(self.dtype)


def _check_axes(axes: tuple[int, ...], head_width: int) -> None:
    if sum(axes) != head_width:
        raise CheckpointError(
            f"The transformer's attention heads are {head_width} wide, but its position axes {axes} add up "
            f"to {sum(axes)}. Set axes_dims_rope in transformer/config.json to those of the training."
        )


def _joint_block(
    block: Any, text: mx.array, image: mx.array, condition: mx.array, prepared: Prepared
) -> tuple[mx.array, mx.array]:
    shift, scale, gate, *image_ff = _modulation(block.norm1, condition, 6)
    text_shift, text_scale, text_gate, *text_ff = _modulation(block.norm1_context, condition, 6)
    text_update, image_update = _joint_attention(
        block.attn,
        modulate(_norm(text), text_shift, text_scale),
        modulate(_norm(image), shift, scale),
        prepared,
    )
    text = _feed_forward(block.ff_context, gated_add(text, text_gate, text_update), *text_ff)
    image = _feed_forward(block.ff, gated_add(image, gate, image_update), *image_ff)
    return text, image


def _joint_attention(
    attn: Any, text: mx.array, image: mx.array, prepared: Prepared
) -> tuple[mx.array, mx.array]:
    of_text = _qkv(
        text, attn.add_q_proj, attn.add_k_proj, attn.add_v_proj, attn.norm_added_q, attn.norm_added_k
    )
    of_image = _qkv(image, attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k)
    q, k, v = (mx.concatenate(list(both), axis=2) for both in zip(of_text, of_image, strict=True))
    mixed = _rotated_attention(q, k, v, prepared)
    length = text.shape[1]
    return attn.to_add_out(mixed[:, :length]), attn.to_out[0](mixed[:, length:])


def _feed_forward(ff: Any, x: mx.array, shift: mx.array, scale: mx.array, gate: mx.array) -> mx.array:
    return gated_add(x, gate, ff.linear2(gelu_tanh(ff.linear1(modulate(_norm(x), shift, scale)))))


def _single_block(block: Any, x: mx.array, condition: mx.array, prepared: Prepared) -> mx.array:
    attn = block.attn
    shift, scale, gate = _modulation(block.norm, condition, 3)
    normed = modulate(_norm(x), shift, scale)
    q, k, v = _qkv(normed, attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k)
    mixed = _rotated_attention(q, k, v, prepared)
    update = block.proj_out(mx.concatenate([mixed, gelu_tanh(block.proj_mlp(normed))], axis=-1))
    return gated_add(x, gate, update)


def _qkv(
    x: mx.array, to_q: Any, to_k: Any, to_v: Any, norm_q: Any, norm_k: Any
) -> tuple[mx.array, mx.array, mx.array]:
    """Queries, keys, values (B, heads, N, head width) of x (B, N, width), the first two RMS-normed."""
    q, k, v = to_q(x), to_k(x), to_v(x)
    heads = q.shape[-1] // norm_q.weight.shape[0]
    q = mx.fast.rms_norm(split_heads(q, heads), norm_q.weight, NORM_EPS)
    k = mx.fast.rms_norm(split_heads(k, heads), norm_k.weight, NORM_EPS)
    return q, k, split_heads(v, heads)


def _rotated_attention(q: mx.array, k: mx.array, v: mx.array, prepared: Prepared) -> mx.array:
    q, k = rotate(q, prepared.cos, prepared.sin), rotate(k, prepared.cos, prepared.sin)
    return attend(q, k, v, mask=prepared.attention_bias)


def _modulation(norm: Any, condition: mx.array, parts: int) -> list[mx.array]:
    """`parts` vectors (B, 1, width) from the condition (B, width)."""
    return list(mx.split(norm.linear(condition)[:, None], parts, axis=-1))


def _norm(x: mx.array) -> mx.array:
    return mx.fast.layer_norm(x, None, None, NORM_EPS)


def conditioning_widths(module: Any) -> tuple[int, int]:
    """How wide mflux's `Transformer` takes T5's tokens and CLIP's pooled prompt; told from its weights."""
    return _inputs(module.context_embedder), _inputs(module.time_text_embed.text_embedder.linear_1)


def _inputs(layer: Any) -> int:
    if "scales" not in layer:
        return int(layer.weight.shape[-1])
    return int(layer.scales.shape[-1] * layer.group_size)


def _mlp(embedder: Any, x: mx.array) -> mx.array:
    embedded: mx.array = embedder.linear_2(silu(embedder.linear_1(x)))
    return embedded
