"""How a file stores its numbers: which formats are read, and which are refused by name. Reads headers only.

A layer called LAYER may come with tensors of its own: in files of ComfyUI's older form `LAYER.scale_weight`
beside a tensor `scaled_fp8` for the whole network; in those of its newer form `LAYER.weight_scale`, and
`LAYER.comfy_quant`, JSON that names the format, or the same JSON for all layers in the file's metadata under
`_quantization_metadata`. The weight is the stored number times the scale. Scales of activations serve
products of 8 bits, which are not computed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from run_graph.graph.faults import listed
from run_graph.runtime.models.inspection import Header, Tensor, read_bytes
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES, is_unread

EIGHT_BIT_FLOATS = {"F8_E4M3", "F8_E5M2"}
FLOATS = {"F64", "F32", "F16", "BF16", *EIGHT_BIT_FLOATS}

_READ = {*FLOATS, *BLOCK_TYPES}
_READ_OF_GGUF = "Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q4_K_M, Q4_K_S, Q4_0, F16 or BF16"

SCALES = ("scale_weight", "weight_scale")  # what a layer's weight is multiplied by
QUANT = "comfy_quant"  # JSON that names a layer's format
MARKER = "scaled_fp8"  # of a network whose layers may have `scale_weight`
METADATA = "_quantization_metadata"
_NOT_NEEDED = ("scale_input", "input_scale")  # of activations

_DECODED = {"float8_e4m3fn", "float8_e5m2"}
_OTHER_FORMATS = {
    "int8_tensorwise": "8-bit integers",
    "mxfp8": "MXFP8 (8-bit numbers with shared exponents)",
    "nvfp4": "NVFP4 (NVIDIA's 4-bit numbers)",
    "convrot_w4a4": "ConvRot (4-bit integers)",
    "asym_w4a8_int8": "4-bit integers",
}
INSTEAD = (
    "Use the same model in float32, float16, bfloat16 or fp8 (e4m3fn or e5m2); quantize makes it smaller."
)


def is_auxiliary(name: str) -> bool:
    """Whether a tensor only says how others are stored."""
    return name.rpartition(".")[2] in {*SCALES, *_NOT_NEEDED, QUANT, MARKER}


def storage_faults(tensors: Mapping[str, Tensor], formats: Mapping[str, str], place: str) -> list[str]:
    """What of a network's tensors is stored in a way that is not read; empty if nothing is.

    Parameters
    ----------
    tensors
        The network's entries of the header.
    formats
        That its files name, by layer (`formats_in`).
    place
        The file or folder, for messages.
    """
    if (unknown := format_fault(formats, place)) is not None:
        return [unknown]
    if unread := sorted({tensor.dtype for tensor in tensors.values() if is_unread(tensor.dtype)}):
        kinds = listed(unread, 3)
        return [f"{place} stores weights as {kinds}, which is not read. Use a file in {_READ_OF_GGUF}."]
    packed = {name.removesuffix("scales") for name in tensors if name.endswith(".scales")}
    wrong = [
        (name, tensor)
        for name, tensor in tensors.items()
        if not (is_auxiliary(name) or tensor.dtype in _READ or _is_packed(name, packed))
    ]
    if wrong:
        kinds = listed(sorted({_words(tensor.dtype) for _, tensor in wrong}), 3)
        return [f"{place} stores {wrong[0][0]} as {kinds}, a format of another program. {INSTEAD}"]
    return []


def format_fault(formats: Mapping[str, str], place: str) -> str | None:
    """Which layer has a format that is not read; None if none has.

    Parameters
    ----------
    formats
        That a file names, by layer (`formats_in`).
    """
    for layer, name in formats.items():
        if name not in _DECODED:
            what = _OTHER_FORMATS.get(name, f"a format called {name!r}")
            return f"{place} stores {layer or 'its weights'} as {what}, which is not read. {INSTEAD}"
    return None


def formats_in(path: Path, header: Header) -> dict[str, str]:
    """The format of each layer that a file names, in tensors called `comfy_quant` or in its metadata.

    Raises OSError, ValueError if the file cannot be read.
    """
    named = {
        name.removesuffix(f".{QUANT}"): _format_in(read_bytes(path, tensor))
        for name, tensor in header.tensors.items()
        if name.endswith(f".{QUANT}")
    }
    return {**_formats_in_metadata(header.metadata), **named}


def _formats_in_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The format of each layer that a file's metadata names; empty if it names none."""
    try:
        layers = json.loads(metadata.get(METADATA, "{}")).get("layers", {})
        return {layer: _format_of(settings) for layer, settings in layers.items()}
    except (ValueError, AttributeError):
        return {"": "unreadable"}


def _format_of(settings: Any) -> str:
    """The format that JSON of `comfy_quant` names."""
    return str(settings.get("format", "unnamed")) if isinstance(settings, dict) else "unnamed"


def _format_in(content: bytearray) -> str:
    """The format that a tensor called `comfy_quant` names."""
    try:
        return _format_of(json.loads(bytes(content)))
    except ValueError:
        return "unreadable"


def _is_packed(name: str, layers: set[str]) -> bool:
    """Whether a tensor is the packed weight of a layer that MLX quantised."""
    return name.endswith("weight") and name.removesuffix("weight") in layers


def _words(dtype: str) -> str:
    """A safetensors type in words: I8 as int8."""
    kinds = {"I": "int", "U": "uint", "F": "float", "C": "complex"}
    kind, bits = dtype[:1], dtype[1:]
    return kinds[kind] + bits.lower() if kind in kinds and bits[:1].isdigit() else dtype.lower()
