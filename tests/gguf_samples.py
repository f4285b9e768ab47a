"""GGUF files, written and decoded by the `gguf` package, which is llama.cpp's own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants
from model_layouts import published

Array = np.ndarray[Any, Any]

# Where the blocks of a type hold float16 numbers.
HALVES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
}
_LLAMA = {
    "shared": "token_embd",
    "encoder.final_layer_norm": "enc.output_norm",
    "layer.0.layer_norm": "attn_norm",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.1.layer_norm": "ffn_norm",
    "layer.1.DenseReluDense.wi_0": "ffn_gate",
    "layer.1.DenseReluDense.wi_1": "ffn_up",
    "layer.1.DenseReluDense.wo": "ffn_down",
    **{f"layer.0.SelfAttention.{letter}": f"attn_{letter}" for letter in "qkvo"},
    "encoder.block": "enc.blk",
}


def blocks(kind: str, rows: int, columns: int, seed: int = 0) -> Array:
    """Random blocks of a type, (rows, bytes of a row) uint8, whose scales are small."""
    rng = np.random.default_rng(seed)
    weights, nbytes = sizes(kind)
    count = rows * columns // weights
    made = rng.integers(0, 256, (count, nbytes), dtype=np.uint8)
    for place in HALVES[kind]:
        scales = rng.uniform(0.001, 0.02, count).astype(np.float16)
        made[:, place : place + 2] = scales.view(np.uint8).reshape(count, 2)
    return made.reshape(rows, -1)


def sizes(kind: str) -> tuple[int, int]:
    """Weights and bytes of a block."""
    from gguf.constants import GGML_QUANT_SIZES

    return GGML_QUANT_SIZES[GGMLQuantizationType[kind]]


def decode(content: Array, kind: str) -> Array:
    """The package's own decoding of rows of blocks, float32."""
    return quants.dequantize(content, GGMLQuantizationType[kind])


def stored(array: Array, kind: str) -> tuple[Array, str]:
    """A tensor as the converters of models store it: vectors, and rows that do not fit, unquantised."""
    weights, _ = sizes(kind)
    if array.ndim < 2 or array.shape[-1] % weights:
        return (array, "F32") if array.ndim < 2 else (array.astype(np.float16), "F16")
    if kind in HALVES and weights == 256:
        return blocks(kind, *array.shape), kind
    return quants.quantize(array, GGMLQuantizationType[kind]), kind


def write_gguf(
    path: Path, tensors: Mapping[str, tuple[Array, str]], architecture: str = "flux", **metadata: Any
) -> Path:
    """A file of tensors with their types."""
    writer = GGUFWriter(path, architecture)
    for name, value in metadata.items():
        if isinstance(value, list):
            writer.add_array(name.replace("__", "."), value)
        else:
            writer.add_string(name.replace("__", "."), value)
    for name, (content, kind) in tensors.items():
        writer.add_tensor(name, content, raw_dtype=GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def quantised(tensors: Mapping[str, Array], kind: str) -> dict[str, tuple[Array, str]]:
    return {name: stored(array, kind) for name, array in tensors.items()}


def decoded(tensors: Mapping[str, tuple[Array, str]]) -> dict[str, Array]:
    """What the file holds, as floats."""
    return {
        name: content.astype(np.float32) if kind in ("F32", "F16") else decode(content, kind)
        for name, (content, kind) in tensors.items()
    }


def llama_t5() -> dict[str, Array]:
    """The built-in model's T5 as llama.cpp's converter names it."""
    made = {}
    for name, array in published("text_encoder_2").items():
        for ours, theirs in _LLAMA.items():
            name = name.replace(ours, theirs)
        made[name] = array
    return made


Tensors = Callable[[], dict[str, Array]]
