"""Tensors that are read when they are needed and let go when they have been used. Imports no mlx."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mlx.core as mx

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
        return self.derive(self.shape, _halves_swapped)

    def channels_last(self) -> LazyTensor:
        """Of a published convolution (outputs, inputs, height, width): MLX's, with the inputs last."""
        outputs, inputs, height, width = self.shape
        return self.derive((outputs, height, width, inputs), lambda array: array.transpose(0, 2, 3, 1))

    def reshaped(self, *shape: int) -> LazyTensor:
        """The same numbers in another shape."""
        return self.derive(shape, lambda array: array.reshape(shape))


Tensors = dict[str, LazyTensor]


def _halves_swapped(array: mx.array) -> mx.array:
    import mlx.core as mx

    half = array.shape[0] // 2
    return mx.concatenate([array[half:], array[:half]])
