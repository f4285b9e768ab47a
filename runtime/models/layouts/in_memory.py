"""From a network's tensors in a file to tensors with the names and shapes that they have in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from run_graph.runtime.models.architecture import count, name_in_memory
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.layouts.latent_diffusion import from_latent_diffusion
from run_graph.runtime.models.layouts.lazy import LazyTensor, Tensors
from run_graph.runtime.models.layouts.llama import from_llama
from run_graph.runtime.models.layouts.original import from_original
from run_graph.runtime.models.layouts.recognition import Layout

if TYPE_CHECKING:
    import mlx.core as mx

_POSITION_BIAS = "t5_blocks.{}.attention.SelfAttention.relative_attention_bias.weight"
_T5_EMBEDDING, _T5_EMBEDDING_COPY = "shared.weight", "encoder.embed_tokens.weight"
_CLIP_LAYER = re.compile(r"(embeddings|encoder|final_layer_norm)\.")


def in_memory(stored: Tensors, component: Component, layout: Layout, place: str) -> Tensors:
    """The tensors that the component uses.

    Parameters
    ----------
    stored
        By their names in the file, without a prefix.
    component, layout
        What they are, and whose names they have.
    place
        The file or folder, for messages.

    Raises
    ------
    CheckpointError
        If a tensor cannot be divided as its layout asks for.
    """
    if layout == "original":
        stored = from_original(stored, place)
    elif layout == "latent diffusion":
        stored = from_latent_diffusion(stored)
    elif layout == "llama":
        stored = from_llama(stored)
    elif component == "text_encoder":
        stored = {_clip_name(name): tensor for name, tensor in stored.items()}
    elif component == "text_encoder_2" and _T5_EMBEDDING not in stored and _T5_EMBEDDING_COPY in stored:
        stored[_T5_EMBEDDING] = stored.pop(_T5_EMBEDDING_COPY)
    tensors = {}
    for name, tensor in stored.items():
        if (own := name_in_memory(component, name)) is not None:
            published = len(tensor.shape) == 4 and layout != "mflux"
            tensors[own] = tensor.channels_last() if published else tensor
    if component == "transformer":
        _add_output_bias(tensors)
    elif component == "text_encoder_2":
        _share_position_bias(tensors)
    return tensors


def _clip_name(name: str) -> str:
    """transformers 5 leaves out the prefix `text_model.`."""
    return f"text_model.{name}" if _CLIP_LAYER.match(name) else name


def _add_output_bias(tensors: Tensors) -> None:
    """mflux 0.16 to 0.21 saved models without this bias and computed with zeros."""
    if (weight := tensors.get("norm_out.linear.weight")) is not None:
        rows = weight.shape[0]
        tensors.setdefault("norm_out.linear.bias", LazyTensor((rows,), "F32", lambda: _zeros(rows)))


def _zeros(count: int) -> mx.array:
    import mlx.core as mx

    return mx.zeros(count)


def _share_position_bias(tensors: Tensors) -> None:
    """Published in the first block only; mflux has it in each."""
    first = _POSITION_BIAS.format(0)
    if (bias := tensors.get(first)) is None:
        return
    for index in range(count(tensors, "t5_blocks")):
        name = _POSITION_BIAS.format(index)
        if index == 0 or name not in tensors:
            tensors[name] = bias.derive(bias.shape, lambda array: array)
