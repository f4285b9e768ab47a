"""FLUX.1's transformer: a forward pass over mflux's modules, for any width and any batch.

mflux's classes fix FLUX's real width (3072, 24 heads of 128) in their arithmetic. Here they are only
containers of (possibly quantised, possibly LoRA-adapted) layers: the width of a head comes from the
query norm, the number of heads from the projection, the position axes from the checkpoint's config.

The architecture is that of black-forest-labs/flux and diffusers' FluxTransformer2DModel: joint blocks
keep separate weights for the text side and the image side and attend over both; single blocks see one
sequence [text | image]. Every feed-forward uses the tanh GELU, as both references do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.networks.attention import attend, split_heads
from run_graph.runtime.networks.elementwise import fused, gated_add, gelu_tanh, modulate
from run_graph.runtime.networks.modulation import (
    Modulation,
    Modulations,
    ModulationsInMemory,
    embed,
    sinusoids,
)
from run_graph.runtime.networks.rope import image_positions, positions, rotate, rotations
from run_graph.runtime.networks.streamed_modulation import Layers, ModulationStream

NORM_EPS = 1e-6
DEFAULT_AXES = (16, 56, 56)


@dataclass(frozen=True)
class Prepared:
    """The inputs that are the same in all steps of one picture.

    Attributes
    ----------
    text
        Embedded text tokens (B, N, width).
    embedding
        Embedding of the pooled prompt and the guidance (B, width); each step adds that of its noise level.
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
    modulation_layers
        Given if the module lacks the layers that modulate its blocks: reads them when they are needed.

    Raises
    ------
    CheckpointError
        If the position axes do not add up to the width of the checkpoint's attention heads.
    """

    def __init__(
        self, module: Any, config: Mapping[str, Any], modulation_layers: Layers | None = None
    ) -> None:
        self.module = module
        self.axes: tuple[int, ...] = tuple(config.get("axes_dims_rope", DEFAULT_AXES))
        # From a norm's weight, since a linear layer may be wrapped in a LoRA layer.
        _check_axes(self.axes, module.transformer_blocks[0].attn.norm_q.weight.shape[0])
        self.dtype: mx.Dtype = module.transformer_blocks[0].attn.norm_q.weight.dtype
        embedder = module.time_text_embed.guidance_embedder
        self.guided: bool = embedder is not None and bool(config.get("guidance_embeds", True))
        self._stream = (
            None if modulation_layers is None else ModulationStream(module, modulation_layers, self.dtype)
        )
        # A function of the module alone: in a reference cycle weights would stay until the collector runs.
        self._run = fused(partial(_run_blocks, module), shapeless=False)

    @property
    def conditioning_widths(self) -> tuple[int, int]:
        """Widths of T5's tokens and CLIP's pooled prompt that it takes, from its weights."""
        of_pooled = self.module.time_text_embed.text_embedder.linear_1
        return _inputs(self.module.context_embedder), _inputs(of_pooled)

    def prepare(
        self,
        tokens: mx.array,
        pooled: mx.array,
        guidance: float,
        height: int,
        width: int,
        attention_bias: mx.array | None = None,
    ) -> Prepared:
        """Compute everything that does not depend on the latents or the noise level, once per picture.

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
        image = image_positions((height // 16, width // 16))
        return self.prepare_at(tokens, pooled, guidance, image, attention_bias)

    def prepare_at(
        self,
        tokens: mx.array,
        pooled: mx.array,
        guidance: float | None,
        image: np.ndarray,
        attention_bias: mx.array | None = None,
    ) -> Prepared:
        """`prepare` for image tokens at any positions.

        Parameters
        ----------
        guidance
            None leaves the guidance embedding out.
        image
            Positions of the image tokens (`rope.image_positions`), (image tokens, 3).
        """
        embedders = self.module.time_text_embed
        embedding = embed(embedders.text_embedder, pooled.astype(self.dtype))
        if self.guided and guidance is not None:
            embedding = embedding + embed(embedders.guidance_embedder, sinusoids([guidance], self.dtype))
        cos, sin = rotations(positions(tokens.shape[1], image), self.axes)
        return Prepared(
            text=self.module.context_embedder(tokens.astype(self.dtype)),
            embedding=embedding,
            cos=cos,
            sin=sin,
            attention_bias=None if attention_bias is None else attention_bias.astype(self.dtype),
        )

    def modulations(self, prepared: Prepared, sigmas: Sequence[float]) -> Modulations:
        """The modulation of the blocks at each of these noise levels (0 to 1), computed when it is needed.

        `sigmas` should be all levels that the sampling visits, in their order: others take a pass through
        the modulation layers each.
        """
        if self._stream is not None:
            return self._stream.modulations(prepared.embedding, sigmas)
        return ModulationsInMemory(self.module, prepared.embedding, sigmas, self.dtype)

    def velocity(self, latents: mx.array, sigma: float, prepared: Prepared) -> mx.array:
        """Velocity of packed latents (B, h * w, 64) at noise level `sigma` (0 to 1).

        Returns (B, h * w, 64) in the model's dtype. For many steps, `modulations` and `step` are cheaper.
        """
        return self.step(latents, self.modulations(prepared, [sigma]).at(sigma), prepared)

    def step(self, latents: mx.array, modulation: Modulation, prepared: Prepared) -> mx.array:
        """`velocity` at the noise level of `modulation`.

        If `prepared` has one prompt and `latents` is a batch, the whole batch uses that prompt.
        """
        return self.project(self.blocks(self.embed(latents), modulation, prepared), modulation)

    def embed(self, latents: mx.array) -> mx.array:
        """Packed latents (B, h * w, 64) as image tokens (B, h * w, width)."""
        tokens: mx.array = self.module.x_embedder(latents.astype(self.dtype))
        return tokens

    def blocks(self, image: mx.array, modulation: Modulation, prepared: Prepared) -> mx.array:
        """Pass image tokens (B, h * w, width) through all blocks; on a GPU as one compiled function."""
        text = mx.broadcast_to(prepared.text, (image.shape[0], *prepared.text.shape[1:]))
        return self._run(image, text, modulation, prepared.cos, prepared.sin, prepared.attention_bias)

    def project(self, image: mx.array, modulation: Modulation) -> mx.array:
        """Project the blocks' output (B, h * w, width) to the velocity (B, h * w, 64)."""
        scale, shift = mx.split(modulation.out, 2, axis=-1)
        velocity: mx.array = self.module.proj_out(modulate(_norm(image), shift, scale))
        return velocity

    def first_input(self, image: mx.array, modulation: Modulation) -> mx.array:
        """The image tokens as the first block's attention gets them: (B, h * w, width)."""
        shift, scale, *_ = mx.split(modulation.joint[0][0], 6, axis=-1)
        return modulate(_norm(image), shift, scale)


class _Rotation(NamedTuple):
    """Rotation of queries and keys, and the bias on their logits; see `Prepared`."""

    cos: mx.array
    sin: mx.array
    bias: mx.array | None


def _run_blocks(
    module: Any,
    image: mx.array,
    text: mx.array,
    modulation: tuple[Any, ...],
    cos: mx.array,
    sin: mx.array,
    bias: mx.array | None,
) -> mx.array:
    joint, single, _ = modulation  # A compiled function receives plain tuples.
    rotation = _Rotation(cos, sin, bias)
    for block, (image_vectors, text_vectors) in zip(module.transformer_blocks, joint, strict=True):
        text, image = _joint_block(block, text, image, text_vectors, image_vectors, rotation)
    sequence = mx.concatenate([text, image], axis=1)
    for block, vectors in zip(module.single_transformer_blocks, single, strict=True):
        sequence = _single_block(block, sequence, vectors, rotation)
    return sequence[:, text.shape[1] :]


def _check_axes(axes: tuple[int, ...], head_width: int) -> None:
    if sum(axes) != head_width:
        raise CheckpointError(
            f"The transformer's attention heads are {head_width} wide, but its position axes {axes} add up "
            f"to {sum(axes)}. Set axes_dims_rope in transformer/config.json to the values used in training."
        )


def _joint_block(
    block: Any,
    text: mx.array,
    image: mx.array,
    text_vectors: mx.array,
    image_vectors: mx.array,
    rotation: _Rotation,
) -> tuple[mx.array, mx.array]:
    shift, scale, gate, *image_ff = mx.split(image_vectors, 6, axis=-1)
    text_shift, text_scale, text_gate, *text_ff = mx.split(text_vectors, 6, axis=-1)
    text_update, image_update = _joint_attention(
        block.attn,
        modulate(_norm(text), text_shift, text_scale),
        modulate(_norm(image), shift, scale),
        rotation,
    )
    text = _feed_forward(block.ff_context, gated_add(text, text_gate, text_update), *text_ff)
    image = _feed_forward(block.ff, gated_add(image, gate, image_update), *image_ff)
    return text, image


def _joint_attention(
    attn: Any, text: mx.array, image: mx.array, rotation: _Rotation
) -> tuple[mx.array, mx.array]:
    of_text = _qkv(
        text, attn.add_q_proj, attn.add_k_proj, attn.add_v_proj, attn.norm_added_q, attn.norm_added_k
    )
    of_image = _qkv(image, attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k)
    q, k, v = (mx.concatenate(list(both), axis=2) for both in zip(of_text, of_image, strict=True))
    mixed = _rotated_attention(q, k, v, rotation)
    length = text.shape[1]
    return attn.to_add_out(mixed[:, :length]), attn.to_out[0](mixed[:, length:])


def _feed_forward(ff: Any, x: mx.array, shift: mx.array, scale: mx.array, gate: mx.array) -> mx.array:
    return gated_add(x, gate, ff.linear2(gelu_tanh(ff.linear1(modulate(_norm(x), shift, scale)))))


def _single_block(block: Any, x: mx.array, vectors: mx.array, rotation: _Rotation) -> mx.array:
    attn = block.attn
    shift, scale, gate = mx.split(vectors, 3, axis=-1)
    normed = modulate(_norm(x), shift, scale)
    q, k, v = _qkv(normed, attn.to_q, attn.to_k, attn.to_v, attn.norm_q, attn.norm_k)
    mixed = _rotated_attention(q, k, v, rotation)
    update = block.proj_out(mx.concatenate([mixed, gelu_tanh(block.proj_mlp(normed))], axis=-1))
    return gated_add(x, gate, update)


def _qkv(
    x: mx.array, to_q: Any, to_k: Any, to_v: Any, norm_q: Any, norm_k: Any
) -> tuple[mx.array, mx.array, mx.array]:
    """Queries, keys, values (B, heads, N, head width) of x (B, N, width); queries and keys are RMS-normed."""
    q, k, v = to_q(x), to_k(x), to_v(x)
    heads = q.shape[-1] // norm_q.weight.shape[0]
    q = mx.fast.rms_norm(split_heads(q, heads), norm_q.weight, NORM_EPS)
    k = mx.fast.rms_norm(split_heads(k, heads), norm_k.weight, NORM_EPS)
    return q, k, split_heads(v, heads)


def _rotated_attention(q: mx.array, k: mx.array, v: mx.array, rotation: _Rotation) -> mx.array:
    q, k = rotate(q, rotation.cos, rotation.sin), rotate(k, rotation.cos, rotation.sin)
    return attend(q, k, v, mask=rotation.bias)


def _norm(x: mx.array) -> mx.array:
    return mx.fast.layer_norm(x, None, None, NORM_EPS)


def _inputs(layer: Any) -> int:
    if "scales" not in layer:
        return int(layer.weight.shape[-1])
    return int(layer.scales.shape[-1] * layer.group_size)
