"""Tensors of a GGUF file, read when they are needed: packed as MLX computes with them, or as floats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import mlx.core as mx
import numpy as np

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.inspection import Tensor, read_bytes
from run_graph.runtime.models.layouts.gguf_blocks import Packed, decoded, packed
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES, GROUP
from run_graph.runtime.models.layouts.lazy import LazyTensor, Tensors
from run_graph.runtime.models.layouts.stored import typed

# What is looked up by numbers rather than multiplied, and tiny: T5's position biases.
_TABLES = ("attn_rel_b.weight", "relative_attention_bias.weight")


def gguf_tensors(path: Path, header: Mapping[str, Tensor]) -> Tensors:
    """The tensors of a GGUF file by name.

    A quantised weight of a layer called LAYER becomes three: its codes `LAYER.weight`, whose `dtype` is the
    type in the file, `LAYER.scales` and `LAYER.biases` (see `gguf_blocks.Packed`).
    """
    tensors: Tensors = {}
    for name, tensor in header.items():
        if is_packed(name, tensor):
            tensors |= _packed(path, name, tensor)
        elif tensor.dtype in BLOCK_TYPES:
            tensors[name] = LazyTensor(tensor.shape, "F32", partial(_floats, path, tensor))
        else:
            tensors[name] = LazyTensor(tensor.shape, tensor.dtype, partial(_numbers, path, tensor))
    return tensors


def is_packed(name: str, tensor: Tensor) -> bool:
    """Whether a tensor stays packed in memory: a quantised matrix whose rows divide into blocks."""
    block = BLOCK_TYPES.get(tensor.dtype)
    return (
        block is not None
        and len(tensor.shape) == 2
        and tensor.shape[1] % block.weights == 0
        and name.endswith(".weight")
        and not name.endswith(_TABLES)
    )


def _packed(path: Path, name: str, tensor: Tensor) -> Tensors:
    rows, columns = tensor.shape
    bits, layer = BLOCK_TYPES[tensor.dtype].bits, name.removesuffix(".weight")
    parts = _Parts(lambda: packed(_bytes(path, tensor), tensor.dtype, rows))
    groups = (rows, columns // GROUP)
    return {
        name: LazyTensor((rows, columns * bits // 32), tensor.dtype, lambda: parts.take("weight")),
        f"{layer}.scales": LazyTensor(groups, "F32", lambda: parts.take("scales")),
        f"{layer}.biases": LazyTensor(groups, "F32", lambda: parts.take("biases")),
    }


class _Parts:
    """The three arrays of a packed weight, made together and let go when each has been taken."""

    def __init__(self, read: Callable[[], Packed]) -> None:
        self._read = read
        self._left: dict[str, mx.array] = {}

    def take(self, part: str) -> mx.array:
        if not self._left:
            made = self._read()
            mx.eval(made)
            self._left = made._asdict()
        return self._left.pop(part)


def _content(path: Path, tensor: Tensor) -> bytearray:
    try:
        return read_bytes(path, tensor)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _bytes(path: Path, tensor: Tensor) -> mx.array:
    return mx.array(np.frombuffer(_content(path, tensor), np.uint8))


def _floats(path: Path, tensor: Tensor) -> mx.array:
    return decoded(_bytes(path, tensor), tensor.dtype, tensor.shape)


def _numbers(path: Path, tensor: Tensor) -> mx.array:
    return typed(_content(path, tensor), tensor)
