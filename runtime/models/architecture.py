"""The layers of each component: their names and sizes.

In memory the layers have mflux's names, which are those in the files of mflux-save. Published checkpoints
have those of diffusers (FluxTransformer2DModel, AutoencoderKL, ReduxImageEncoder) and transformers
(T5EncoderModel, CLIPTextModel, SiglipVisionModel); `name_in_memory` translates. Sizes are labels, since a
checkpoint may be of any width: equal labels mean equal sizes, `6*width` means six times the size called
`width`, and a number means itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from run_graph.runtime.models.components import Component

_MODULATION = re.compile(
    r"(transformer_blocks\.\d+\.norm1(_context)?|single_transformer_blocks\.\d+\.norm|norm_out)\.linear"
)

Kind = Literal["linear", "embedding", "norm", "convolution"]


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    path
        Its dotted name in memory; numbers are positions in lists.
    kind
    sizes
        Labels of its weight's axes in memory: (outputs, inputs) of linear layers, (rows, width) of
        embeddings, (outputs, height, width, inputs) of convolutions, whose inputs are published second.
    bias
        Whether it has a bias, of as many numbers as the weight has outputs.
    stride
        Of a convolution.
    """

    path: str
    kind: Kind
    sizes: tuple[str, ...]
    bias: bool = True
    stride: int = 1


def name_in_memory(component: Component, name: str) -> str | None:
    """The name in memory of a published tensor; None if the component does not use it.

    Names that no published checkpoint has are returned as they are.
    """
    if any(re.match(pattern, name) for pattern in _UNUSED.get(component, ())):
        return None
    for pattern, replacement in _RENAMED.get(component, ()):
        name = re.sub(pattern, replacement, name)
    return name


def is_modulation_layer(path: str) -> bool:
    """Whether a layer of the transformer computes the vectors that modulate its blocks, by its path.

    They are 27 % of FLUX.1's weights, and what they compute does not depend on the picture.
    """
    return _MODULATION.fullmatch(path) is not None


def layers_of(component: Component, paths: Collection[str]) -> list[Layer]:
    """The layers of a component with as many blocks as the layers called `paths` need."""
    return list(_ARCHITECTURES[component](paths))


def count(paths: Collection[str], prefix: str) -> int:
    """How many blocks a list has: one more than the highest number that follows `prefix`."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return max((int(match[1]) + 1 for path in paths if (match := pattern.match(path))), default=0)


def _linear(path: str, sizes: str, *, bias: bool = True) -> Layer:
    return Layer(path, "linear", tuple(sizes.split()), bias)


def _embedding(path: str, sizes: str) -> Layer:
    return Layer(path, "embedding", tuple(sizes.split()), bias=False)


def _norm(path: str, size: str, *, bias: bool = True) -> Layer:
    return Layer(path, "norm", (size,), bias)


def _convolution(path: str, outputs: str, inputs: str, *, kernel: str = "3", stride: int = 1) -> Layer:
    return Layer(path, "convolution", (outputs, kernel, kernel, inputs), stride=stride)


def _transformer(paths: Collection[str]) -> Iterator[Layer]:
    yield _linear("x_embedder", "width latent")
    yield _linear("context_embedder", "width text")
    embedders = {"timestep_embedder": "frequencies", "text_embedder": "pooled"}
    if any(path.startswith("time_text_embed.guidance_embedder.") for path in paths):
        embedders["guidance_embedder"] = "frequencies"
    for name, inputs in embedders.items():
        yield _linear(f"time_text_embed.{name}.linear_1", f"width {inputs}")
        yield _linear(f"time_text_embed.{name}.linear_2", "width width")
    for index in range(count(paths, "transformer_blocks")):
        yield from _joint_block(f"transformer_blocks.{index}")
    for index in range(count(paths, "single_transformer_blocks")):
        yield from _single_block(f"single_transformer_blocks.{index}")
    yield _linear("norm_out.linear", "2*width width")
    yield _linear("proj_out", "latent width")


def _joint_block(block: str) -> Iterator[Layer]:
    yield _linear(f"{block}.norm1.linear", "6*width width")
    yield _linear(f"{block}.norm1_context.linear", "6*width width")
    for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
        yield _linear(f"{block}.attn.{name}", "width width")
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        yield _norm(f"{block}.attn.{name}", "head", bias=False)
    for name in ("ff", "ff_context"):
        yield _linear(f"{block}.{name}.linear1", "hidden width")
        yield _linear(f"{block}.{name}.linear2", "width hidden")


def _single_block(block: str) -> Iterator[Layer]:
    yield _linear(f"{block}.norm.linear", "3*width width")
    for name in ("to_q", "to_k", "to_v"):
        yield _linear(f"{block}.attn.{name}", "width width")
    for name in ("norm_q", "norm_k"):
        yield _norm(f"{block}.attn.{name}", "head", bias=False)
    yield _linear(f"{block}.proj_mlp", "hidden width")
    yield _linear(f"{block}.proj_out", "width width+hidden")


def _t5(paths: Collection[str]) -> Iterator[Layer]:
    yield _embedding("shared", "vocabulary width")
    for index in range(count(paths, "t5_blocks")):
        attention, feed_forward = f"t5_blocks.{index}.attention", f"t5_blocks.{index}.ff"
        for name in ("q", "k", "v"):
            yield _linear(f"{attention}.SelfAttention.{name}", "attention width", bias=False)
        yield _linear(f"{attention}.SelfAttention.o", "width attention", bias=False)
        yield _embedding(f"{attention}.SelfAttention.relative_attention_bias", "buckets heads")
        yield _norm(f"{attention}.layer_norm", "width", bias=False)
        for name in ("wi_0", "wi_1"):
            yield _linear(f"{feed_forward}.DenseReluDense.{name}", "hidden width", bias=False)
        yield _linear(f"{feed_forward}.DenseReluDense.wo", "width hidden", bias=False)
        yield _norm(f"{feed_forward}.layer_norm", "width", bias=False)
    yield _norm("final_layer_norm", "width", bias=False)


def _clip(paths: Collection[str]) -> Iterator[Layer]:
    yield _embedding("text_model.embeddings.token_embedding", "vocabulary width")
    yield _embedding("text_model.embeddings.position_embedding", "positions width")
    for index in range(count(paths, "text_model.encoder.layers")):
        yield from _encoder_layer(f"text_model.encoder.layers.{index}")
    yield _norm("text_model.final_layer_norm", "width")


def _siglip(paths: Collection[str]) -> Iterator[Layer]:
    yield _convolution("embeddings.patch_embedding", "width", "colours", kernel="patch")
    yield _embedding("embeddings.position_embedding", "positions width")
    for index in range(count(paths, "encoder.layers")):
        yield from _encoder_layer(f"encoder.layers.{index}")
    yield _norm("post_layernorm", "width")


def _encoder_layer(layer: str) -> Iterator[Layer]:
    """A layer of CLIP or SigLIP."""
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        yield _linear(f"{layer}.self_attn.{name}", "width width")
    for name in ("layer_norm1", "layer_norm2"):
        yield _norm(f"{layer}.{name}", "width")
    yield _linear(f"{layer}.mlp.fc1", "hidden width")
    yield _linear(f"{layer}.mlp.fc2", "width hidden")


def _redux(paths: Collection[str]) -> Iterator[Layer]:
    yield _linear("redux_up", "hidden vision")
    yield _linear("redux_down", "text hidden")


_RESOLUTIONS = ("eighth", "quarter", "half", "full")  # of the picture, where the autoencoder has blocks
_WIDTHS = dict(zip(_RESOLUTIONS, ("wide", "wide", "middle", "narrow"), strict=True))


def _vae(paths: Collection[str]) -> Iterator[Layer]:
    for index, (resolution, before) in enumerate(zip(_RESOLUTIONS, (None, *_RESOLUTIONS), strict=False)):
        block, inputs = f"decoder.up_blocks.{index}", _WIDTHS[before or resolution]
        yield from _resnets(block, count(paths, f"{block}.resnets"), inputs, _WIDTHS[resolution])
        if resolution != "full":
            width = _WIDTHS[resolution]
            yield _convolution(f"{block}.upsamplers.0.conv", width, width)
    downwards = _RESOLUTIONS[::-1]
    for index, (resolution, before) in enumerate(zip(downwards, (None, *downwards), strict=False)):
        block, inputs = f"encoder.down_blocks.{index}", _WIDTHS[before or resolution]
        yield from _resnets(block, count(paths, f"{block}.resnets"), inputs, _WIDTHS[resolution])
        if resolution != "eighth":
            width = _WIDTHS[resolution]
            yield _convolution(f"{block}.downsamplers.0.conv", width, width, stride=2)
    yield from _ends("decoder", "wide", "latent", "narrow", "colours")
    yield from _ends("encoder", "narrow", "colours", "wide", "2*latent")


def _ends(half: str, first: str, inputs: str, last: str, outputs: str) -> Iterator[Layer]:
    """The outer layers of the encoder or the decoder, and its middle."""
    yield _convolution(f"{half}.conv_in.conv2d", first, inputs)
    yield from _resnets(f"{half}.mid_block", 2, "wide", "wide")
    attention = f"{half}.mid_block.attentions.0"
    yield _norm(f"{attention}.group_norm", "wide")
    for name in ("to_q", "to_k", "to_v", "to_out.0"):
        yield _linear(f"{attention}.{name}", "wide wide")
    yield _norm(f"{half}.conv_norm_out.norm", last)
    yield _convolution(f"{half}.conv_out.conv2d", outputs, last)


def _resnets(block: str, number: int, inputs: str, outputs: str) -> Iterator[Layer]:
    for index in range(number):
        resnet = f"{block}.resnets.{index}"
        yield _norm(f"{resnet}.norm1", inputs)
        yield _convolution(f"{resnet}.conv1", outputs, inputs)
        yield _norm(f"{resnet}.norm2", outputs)
        yield _convolution(f"{resnet}.conv2", outputs, outputs)
        if inputs != outputs:
            yield _convolution(f"{resnet}.conv_shortcut", outputs, inputs, kernel="1")
        inputs = outputs


# How published names become names in memory: patterns and what replaces them.
_RENAMED: dict[Component, tuple[tuple[str, str], ...]] = {
    "transformer": ((r"\.net\.0\.proj\.", ".linear1."), (r"\.net\.2\.", ".linear2.")),
    "vae": (
        (r"^(en|de)coder\.conv_(in|out)\.(?!conv2d)", r"\1coder.conv_\2.conv2d."),
        (r"\.conv_norm_out\.(?!norm)", ".conv_norm_out.norm."),
    ),
    "text_encoder_2": (
        (r"^encoder\.block\.(\d+)\.layer\.0\.", r"t5_blocks.\1.attention."),
        (r"^encoder\.block\.(\d+)\.layer\.1\.", r"t5_blocks.\1.ff."),
        (r"^encoder\.final_layer_norm\.", "final_layer_norm."),
    ),
    "image_encoder": ((r"^vision_model\.", ""),),
}

# What checkpoints hold besides: the other half of CLIP, SigLIP and T5, their heads, and copies.
_UNUSED: dict[Component, tuple[str, ...]] = {
    "text_encoder": ("vision_model", "(text|visual)_projection", "logit_scale$", r".*\.position_ids$"),
    "text_encoder_2": (r"encoder\.embed_tokens\.", r"decoder\.", r"lm_head\."),
    "image_encoder": ("text_model", r"logit_(scale|bias)$", r"(vision_model\.)?head\.", r".*position_ids$"),
}

_ARCHITECTURES: dict[Component, Callable[[Collection[str]], Iterator[Layer]]] = {
    "transformer": _transformer,
    "vae": _vae,
    "text_encoder": _clip,
    "text_encoder_2": _t5,
    "image_encoder": _siglip,
    "image_embedder": _redux,
}
