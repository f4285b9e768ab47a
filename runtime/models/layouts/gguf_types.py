"""How GGUF stores numbers: the types of its tensors, and what becomes of each in memory. Imports no MLX.

Source: `ggml.h` and `ggml-common.h` of llama.cpp. A quantised row is a sequence of blocks, each of which
holds the codes of its weights, and scales.
"""

from __future__ import annotations

from dataclasses import dataclass

GROUP = 32  # Weights that share a scale and an offset in memory.


@dataclass(frozen=True)
class BlockType:
    """A quantised type.

    Attributes
    ----------
    weights : int
        In a block.
    nbytes : int
        Of a block.
    bits : int
        Of a weight in memory, in groups of ``GROUP``.
    is_exact : bool
        Whether the codes, scales and offsets in memory are those of the file. Types whose scales belong to 16
        weights are decoded and quantised again.
    """

    weights: int
    nbytes: int
    bits: int
    is_exact: bool = True


BLOCK_TYPES = {
    "Q4_0": BlockType(32, 18, 4),
    "Q4_1": BlockType(32, 20, 4),
    "Q5_0": BlockType(32, 22, 5),
    "Q5_1": BlockType(32, 24, 5),
    "Q8_0": BlockType(32, 34, 8),
    "Q2_K": BlockType(256, 84, 4, is_exact=False),
    "Q3_K": BlockType(256, 110, 5, is_exact=False),
    "Q4_K": BlockType(256, 144, 4),
    "Q5_K": BlockType(256, 176, 5),
    "Q6_K": BlockType(256, 210, 8, is_exact=False),
}
"""The quantised types that are read."""

# Of types that are not blocks: bytes of a number. Their names are those of safetensors.
NUMBER_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I8": 1, "I16": 2, "I32": 4, "I64": 8}

# Weights and bytes of a block of types that are not read, so that their files can be told from damaged ones.
_OTHERS = {
    "Q8_1": (32, 36),
    "Q8_K": (256, 292),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ3_XXS": (256, 98),
    "IQ1_S": (256, 50),
    "IQ4_NL": (32, 18),
    "IQ3_S": (256, 110),
    "IQ2_S": (256, 82),
    "IQ4_XS": (256, 136),
    "IQ1_M": (256, 56),
    "TQ1_0": (256, 54),
    "TQ2_0": (256, 66),
    "MXFP4": (32, 17),
}
SIZES = {
    **{name: (1, nbytes) for name, nbytes in NUMBER_BYTES.items()},
    **{name: (block.weights, block.nbytes) for name, block in BLOCK_TYPES.items()},
    **_OTHERS,
}
"""Weights and bytes of a block, by type."""

NAMES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}
"""Types by the number that a file gives them."""


_UNKNOWN = "GGUF's type "


def type_name(number: int) -> str:
    """The name of a type by the number that a file gives it."""
    return NAMES.get(number, f"{_UNKNOWN}{number}")


def is_unread(kind: str) -> bool:
    """Whether a type is one of GGUF's that are not read."""
    return kind in _OTHERS or kind.startswith(_UNKNOWN)
