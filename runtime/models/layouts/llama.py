"""T5's encoder as llama.cpp names it, in GGUF files.

Source: `T5_SD_MAP` in `loader.py` of city96's ComfyUI-GGUF; `gguf/constants.py` of llama.cpp, MODEL_TENSOR.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

_IN_BLOCKS = {
    "attn_norm": "layer.0.layer_norm",
    "attn_q": "layer.0.SelfAttention.q",
    "attn_k": "layer.0.SelfAttention.k",
    "attn_v": "layer.0.SelfAttention.v",
    "attn_o": "layer.0.SelfAttention.o",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "ffn_norm": "layer.1.layer_norm",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn_down": "layer.1.DenseReluDense.wo",
}
_ELSEWHERE = {"token_embd": "shared", "enc.output_norm": "encoder.final_layer_norm"}
_BLOCK = re.compile(r"enc\.blk\.(\d+)\.(\w+)")
_DECODER = ("dec.", "output.")  # the other half of a whole T5


def from_llama(tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors by transformers' names, without those of T5's decoder; unknown names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items() if not name.startswith(_DECODER)}


def _renamed(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    match = _BLOCK.fullmatch(layer)
    if match is not None and match[2] in _IN_BLOCKS:
        return f"encoder.block.{match[1]}.{_IN_BLOCKS[match[2]]}.{kind}"
    return f"{_ELSEWHERE.get(layer, layer)}.{kind}"
