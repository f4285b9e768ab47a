"""Read the tensors of safetensors files: by MLX where it knows all their types, else by their bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.inspection import Tensor, read_bytes, read_header
from run_graph.runtime.models.layouts.lazy import LazyTensor, Tensors


def read_tensors(path: Path) -> Tensors:
    """The tensors of a safetensors file by name. Numbers of formats without an MLX type are read as bytes.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    """
    try:
        header = read_header(path).tensors
        if all(tensor.dtype in _READ_BY_MLX for tensor in header.values()):
            return _mapped_by_mlx(path, header)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return {
        name: LazyTensor(tensor.shape, tensor.dtype, _reader(path, tensor)) for name, tensor in header.items()
    }


def _mapped_by_mlx(path: Path, header: Mapping[str, Tensor]) -> Tensors:
    arrays: Any = mx.load(str(path), format="safetensors")

    def taking(name: str) -> Callable[[], mx.array]:
        return lambda: arrays.pop(name)

    return {name: LazyTensor(tensor.shape, tensor.dtype, taking(name)) for name, tensor in header.items()}


def _reader(path: Path, tensor: Tensor) -> Callable[[], mx.array]:
    def read() -> mx.array:
        try:
            return typed(read_bytes(path, tensor), tensor)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error

    return read


def typed(content: bytearray, tensor: Tensor) -> mx.array:
    """Bytes as the numbers that they are, or as uint8 if MLX has no such numbers."""
    if tensor.dtype == "F64":
        return mx.array(np.frombuffer(content, np.float64).astype(np.float32).reshape(tensor.shape))
    numbers = mx.array(np.frombuffer(content, np.uint8))
    dtype = _TYPES.get(tensor.dtype, mx.uint8)
    if dtype == mx.bool_:
        return (numbers != 0).reshape(tensor.shape)
    if math.prod(tensor.shape) == 0:
        return mx.zeros(tensor.shape, dtype)
    return numbers.view(dtype).reshape(tensor.shape)


_TYPES = {
    "F32": mx.float32,
    "F16": mx.float16,
    "BF16": mx.bfloat16,
    "I8": mx.int8,
    "U8": mx.uint8,
    "I16": mx.int16,
    "U16": mx.uint16,
    "I32": mx.int32,
    "U32": mx.uint32,
    "I64": mx.int64,
    "U64": mx.uint64,
    "BOOL": mx.bool_,
}
# MLX 0.32 reads this format of 8 bits as uint8, and refuses a whole file for one tensor of another.
_READ_BY_MLX = {*_TYPES, "F8_E4M3"}
