"""Tensors of files, read when they are needed and let go when they have been used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.files.regular import open_regular
from run_graph.runtime.models.inspection import Tensor, read_header

Shape = tuple[int, ...]


class LazyTensor:
    """A tensor that is not in memory yet, or one that is made from such a tensor.

    A tensor from which several are made is read once, and let go when the last of them has been taken.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
        Its format in the file, as safetensors names it.
    """

    def __init__(self, shape: Shape, dtype: str, read: Callable[[], mx.array]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._read = read
        self._derived = 0
        self._array: mx.array | None = None

    def take(self) -> mx.array:
        """The array; to be called once, and by each tensor that is made from this one once."""
        array = self._read() if self._array is None else self._array
        self._derived -= 1
        self._array = array if self._derived > 0 else None
        return array

    def derive(
        self, shape: Shape, change: Callable[[mx.array], mx.array], dtype: str | None = None
    ) -> LazyTensor:
        """The tensor of this shape that `change` makes of this one."""
        self._derived += 1
        return LazyTensor(shape, dtype or self.dtype, lambda: change(self.take()))

    def rows(self, start: int, stop: int) -> LazyTensor:
        """Some of its rows."""
        if (start, stop) == (0, self.shape[0]):
            return self
        return self.derive((stop - start, *self.shape[1:]), lambda array: array[start:stop])

    def halves_swapped(self) -> LazyTensor:
        """The second half of its rows before the first."""
        half = self.shape[0] // 2
        return self.derive(self.shape, lambda array: mx.concatenate([array[half:], array[:half]]))

    def channels_last(self) -> LazyTensor:
        """Of a published convolution (outputs, inputs, height, width): MLX's, with the inputs last."""
        outputs, inputs, height, width = self.shape
        return self.derive((outputs, height, width, inputs), lambda array: array.transpose(0, 2, 3, 1))

    def reshaped(self, *shape: int) -> LazyTensor:
        """The same numbers in another shape."""
        return self.derive(shape, lambda array: array.reshape(shape))


Tensors = dict[str, LazyTensor]


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
        return typed(read_bytes(path, tensor), tensor)

    return read


def read_bytes(path: Path, tensor: Tensor) -> bytearray:
    """A tensor's bytes. Raises CheckpointError if the file has become shorter or cannot be read."""
    content = bytearray(tensor.nbytes)
    try:
        with open_regular(path) as file:
            file.seek(tensor.start)
            count = file.readinto(content)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if count != tensor.nbytes:
        raise CheckpointError(f"{path} is cut short. Download or copy it again.")
    return content


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
