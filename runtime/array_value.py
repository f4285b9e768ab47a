"""The base of values that are made of arrays: what their sockets promise, and how they are sealed and copied.

A value that a node has returned is sealed (:meth:`ArrayValue.seal`), and then handed out to others.
Importing this module imports neither numpy nor MLX.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from run_graph.graph.sockets import SocketValue

if TYPE_CHECKING:
    import numpy.typing as npt


class Promise(NamedTuple):
    """What a socket promises of an array.

    Attributes
    ----------
    shape : tuple
        A name for a free dimension, a number for a fixed one, or the numbers that it may have:
        ``("B", "H", "W", (3, 4))``.
    range : (float, float) or None
        Inclusive bounds of the numbers. None: any finite number.
    """

    shape: tuple[str | int | tuple[int, ...], ...]
    range: tuple[float, float] | None = None

    def check(self, name: str, array: Any) -> None:
        """Raise ValueError if the array breaks the promise."""
        if not hasattr(array, "shape"):
            raise ValueError(f"{name} is not an array but {type(array).__name__}")
        sizes = zip(array.shape, self.shape, strict=False)
        if len(array.shape) != len(self.shape) or not all(_is_size(size, want) for size, want in sizes):
            raise ValueError(f"{name} has shape {_shape(array.shape)}, not {_shape(self.shape)}")
        if array_library(array) == "mlx":
            self._check_mlx(name, array)
        else:
            self._check_numpy(name, array)

    def _check_numpy(self, name: str, array: Any) -> None:
        if array.dtype.name != "float32":
            raise ValueError(f"{name} has dtype {array.dtype.name}, not float32{self._bounds()}")
        if not array.size:
            raise ValueError(f"{name} is empty: its shape is {_shape(array.shape)}")
        low, high = float(array.min()), float(array.max())
        if not (-math.inf < low and high < math.inf):
            raise ValueError(f"{name} contains values that are not finite (NaN or infinity)")
        if self.range is not None and not (self.range[0] <= low and high <= self.range[1]):
            raise ValueError(f"{name} has values from {low:g} to {high:g}; expected about 0 to 1")

    def _check_mlx(self, name: str, array: Any) -> None:
        import mlx.core as mx

        if not mx.issubdtype(array.dtype, mx.floating):
            raise ValueError(f"{name} has dtype {array.dtype}, not a floating-point one")
        if not mx.isfinite(array).all().item():
            raise ValueError(f"{name} contains values that are not finite (NaN or infinity)")

    def _bounds(self) -> str:
        return "" if self.range is None else " with values from 0 to 1"


class ArrayValue(SocketValue):
    """A value made of arrays. Messages show their shapes rather than their numbers.

    ``promises`` says what each array must be, by field.
    """

    promises: ClassVar[Mapping[str, Promise]] = {}

    def seal(self) -> None:
        """Evaluate MLX arrays, so that any thread can read them; make numpy arrays read-only; check all.

        If the node that made the value keeps an array and writes to it later, it fails or writes elsewhere.
        """
        for name, value in self.__dict__.items():
            self.__dict__[name] = _changed(value, _sealed)
        for name, promise in self.promises.items():
            if self.__dict__.get(name) is not None:  # optional, or a picture that is kept in 8 bits
                promise.check(name, self.__dict__[name])

    def for_reader(self) -> Self:
        """See :meth:`graph.SocketValue.for_reader`. MLX arrays are copied: they cannot be made read-only."""
        return self._with_copies(_copy_of_mlx)

    def for_caller(self) -> Self:
        """See :meth:`graph.SocketValue.for_caller`: all arrays are copied."""
        return self._with_copies(copy_of_array)

    def _with_copies(self, copied: Callable[[Any], Any]) -> Self:
        found = {name: _changed(value, copied) for name, value in self.__dict__.items()}
        changed = {name: value for name, value in found.items() if value is not self.__dict__[name]}
        if not changed:
            return self
        made = copy.copy(self)
        made.__dict__.update(changed)
        return made

    def __repr__(self) -> str:
        shapes = [value.shape for value in self.__dict__.values() if hasattr(value, "shape")]
        return f"{type(self).__name__} {', '.join(' x '.join(map(str, shape)) for shape in shapes)}"


def array_library(value: Any) -> str | None:
    """The package an array belongs to, ``"numpy"`` or ``"mlx"``; None for anything else. Imports neither."""
    if not (hasattr(value, "dtype") and hasattr(value, "shape")):
        return None
    package = type(value).__module__.partition(".")[0]
    return package if package in ("numpy", "mlx") else None


def copy_of_array(array: Any) -> Any:
    """A copy of a numpy or MLX array in memory of its own; evaluated, so that any thread can read it."""
    if array_library(array) == "numpy":
        return array.copy()
    import mlx.core as mx

    made = mx.array(array)
    mx.eval(made)
    return made


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """A field with its arrays changed, those in a tuple of arrays or of values too; itself if none is."""
    if isinstance(value, ArrayValue):
        return value._with_copies(change)
    if type(value) is tuple:
        items = tuple(_changed(item, change) for item in value)
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value if array_library(value) is None else change(value)


def _copy_of_mlx(array: Any) -> Any:
    return copy_of_array(array) if array_library(array) == "mlx" else array


def _sealed(array: Any) -> Any:
    if array_library(array) == "numpy":
        return _read_only(array)
    import mlx.core as mx

    mx.eval(array)
    # The same memory under another handle: `+=` on the node's handle leaves this one as it is.
    return array.reshape(array.shape)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, which can no longer be written to; a copy if its memory belongs to something that can be.

    Memory of numpy's own is made read-only together with the array; that of a torch tensor, a mapped file or
    an MLX array cannot be.
    """
    import numpy as np

    views = [array]
    while isinstance(views[-1].base, np.ndarray):
        views.append(views[-1].base)
    if not (views[-1].base is None or isinstance(views[-1].base, bytes)):
        views = [array.copy()]
    for view in views:
        view.flags.writeable = False
    return views[0]


def _is_size(size: int, want: str | int | tuple[int, ...]) -> bool:
    return isinstance(want, str) or size in (want if isinstance(want, tuple) else (want,))


def _shape(sizes: Sequence[str | int | tuple[int, ...]]) -> str:
    words = (" or ".join(map(str, size)) if isinstance(size, tuple) else str(size) for size in sizes)
    return f"({', '.join(words)})"
