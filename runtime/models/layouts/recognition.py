"""Which of FLUX.1's networks a file holds, by its tensors' names and shapes, never by its own name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from run_graph.runtime.models.components import Component
from run_graph.runtime.models.inspection import Tensor

# published: diffusers' and transformers' names. original: Black Forest Labs'. llama: llama.cpp's.
Layout = Literal["published", "mflux", "original", "latent diffusion", "llama"]

Header = Mapping[str, Tensor]


@dataclass(frozen=True)
class Found:
    """A network in a file.

    Attributes
    ----------
    component
    layout
        Whose names its tensors have.
    prefix
        What its tensors' names begin with.
    size
        A number that tells networks of different widths apart: of a transformer the width of its heads, of
        Redux's encoder the width of its tokens, of others their own width.
    """

    component: Component
    layout: Layout
    prefix: str
    size: int


class _Sign(NamedTuple):
    """What only a network of one kind has: a tensor whose name ends so, and what is asked of its file."""

    component: Component
    layout: Layout
    ending: str
    size_of: str
    also: Callable[[Header, str], bool] = lambda header, prefix: True


_SIGNS = (
    *(
        _Sign("transformer", "original", f"double_blocks.0.img_attn.norm.key_norm.{end}", "")
        for end in ("scale", "weight")
    ),
    _Sign(
        "transformer",
        "published",
        "single_transformer_blocks.0.attn.norm_k.weight",
        "",
        lambda header, prefix: f"{prefix}time_text_embed.timestep_embedder.linear_1.weight" in header,
    ),
    _Sign("vae", "latent diffusion", "decoder.up.0.block.0.conv1.weight", "decoder.conv_in.bias"),
    _Sign("vae", "published", "decoder.up_blocks.0.resnets.0.conv1.weight", "decoder.conv_in.bias"),
    _Sign(
        "text_encoder_2",
        "published",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "encoder.final_layer_norm.weight",
    ),
    _Sign("text_encoder_2", "llama", "enc.blk.0.attn_q.weight", "enc.output_norm.weight"),
    _Sign(
        "text_encoder",
        "published",
        "embeddings.token_embedding.weight",
        "final_layer_norm.weight",
        lambda header, prefix: f"{prefix}head.weight" not in header,  # which SigLIP's text tower has
    ),
    _Sign(
        "image_encoder",
        "published",
        "embeddings.patch_embedding.weight",
        "post_layernorm.weight",
        lambda header, prefix: (
            f"{prefix}embeddings.class_embedding" not in header  # which CLIP's vision model has
            and len(header[f"{prefix}embeddings.patch_embedding.weight"].shape) == 4
        ),
    ),
    _Sign("image_embedder", "published", "redux_up.weight", "redux_down.bias"),
)


def networks_in(header: Header) -> list[Found]:
    """FLUX.1's networks among the tensors, those of one kind under different prefixes included."""
    found: list[Found] = []
    for name in header:
        for sign in _SIGNS:
            if name.endswith(sign.ending) and (network := _network(header, name, sign)) is not None:
                found.append(network)
    return found


def own_names(names: Collection[str], found: Found, beside: Collection[Found]) -> dict[str, str]:
    """The names of a network's tensors in its file, by what follows its prefix.

    Parameters
    ----------
    names
        Of all tensors of the file.
    beside
        The networks of the file; a tensor belongs to the one with the longest prefix that fits.
    """
    others = [other.prefix for other in beside if len(other.prefix) > len(found.prefix)]
    return {
        name.removeprefix(found.prefix): name
        for name in names
        if name.startswith(found.prefix) and not any(name.startswith(other) for other in others)
    }


def _network(header: Header, name: str, sign: _Sign) -> Found | None:
    prefix = name.removesuffix(sign.ending)
    size = header.get(prefix + sign.size_of) if sign.size_of else header[name]
    whole = not prefix or prefix.endswith(".")
    if not whole or size is None or not size.shape or not sign.also(header, prefix):
        return None
    return Found(sign.component, sign.layout, prefix, size.shape[0])
