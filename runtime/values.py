"""The values that travel along links. They are frozen, and their arrays are never written to.

What a node returns is sealed (:meth:`ArrayValue.seal`); :mod:`runtime.handing_out` gives it to others.

Pictures are numpy arrays, the networks' tensors MLX arrays. Importing this module imports neither library.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from run_graph.graph.sockets import SocketValue
from run_graph.runtime.generation import Generation, PictureFile, Reference

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    import numpy.typing as npt
    import PIL.Image


class Promise(NamedTuple):
    """What a socket promises of an array.

    Attributes
    ----------
    shape : tuple
        A name for a free dimension, a number for a fixed one: ``("B", "H", "W", 3)``.
    range : (float, float) or None
        Inclusive bounds of the numbers. None: any finite number.
    """

    shape: tuple[str | int, ...]
    range: tuple[float, float] | None = None

    def check(self, name: str, array: Any) -> None:
        """Raise ValueError if the array breaks the promise."""
        if not hasattr(array, "shape"):
            raise ValueError(f"{name} is not an array but {type(array).__name__}")
        fixed = [(size, want) for size, want in zip(array.shape, self.shape, strict=False) if want != size]
        if len(array.shape) != len(self.shape) or any(isinstance(want, int) for _, want in fixed):
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


# Resampling kernels with negative lobes go a little beyond 0 and 1; samples of 0 to 255 go far beyond.
COLOURS = (-1.0, 2.0)


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
            library = array_library(value)
            if library == "mlx":
                import mlx.core as mx

                mx.eval(value)
                # The same memory under another handle: `+=` on the node's handle leaves this one as it is.
                self.__dict__[name] = value.reshape(value.shape)
            elif library == "numpy":
                self.__dict__[name] = _read_only(value)
        for name, promise in self.promises.items():
            promise.check(name, self.__dict__[name])

    def for_reader(self) -> Self:
        """See :meth:`graph.SocketValue.for_reader`. MLX arrays are copied: they cannot be made read-only."""
        return self._with_copies("mlx")

    def for_caller(self) -> Self:
        """See :meth:`graph.SocketValue.for_caller`: all arrays are copied."""
        return self._with_copies("mlx", "numpy")

    def _with_copies(self, *libraries: str) -> Self:
        copies = {
            name: copy_of_array(value)
            for name, value in self.__dict__.items()
            if array_library(value) in libraries
        }
        if not copies:
            return self
        made = copy.copy(self)
        made.__dict__.update(copies)
        return made

    def __repr__(self) -> str:
        shapes = [value.shape for value in self.__dict__.values() if hasattr(value, "shape")]
        return f"{type(self).__name__} {', '.join(' x '.join(map(str, shape)) for shape in shapes)}"


@dataclass(frozen=True, eq=False, repr=False)
class Image(ArrayValue):
    """Pictures.

    Attributes
    ----------
    pixels : float32 array (B, H, W, 3)
        Colours, 0..1. Read-only in a node; the caller of a run has a copy that it may change.
    source : PictureFile or None
        The file whose content these pixels are. Only `from_file` sets it: a changed copy
        (``dataclasses.replace``) does not have it, since its pixels are no longer the file's.
    generation : Generation or None
        How they were sampled, if they were. A changed copy keeps it.
    """

    socket_type: ClassVar[str] = "IMAGE"
    promises: ClassVar[Mapping[str, Promise]] = {"pixels": Promise(("B", "H", "W", 3), COLOURS)}

    pixels: npt.NDArray[np.float32]
    source: PictureFile | None = field(default=None, init=False)
    generation: Generation | None = None

    @classmethod
    def from_file(cls, pixels: npt.NDArray[np.float32], source: PictureFile) -> Image:
        """Pictures exactly as they were read from a file."""
        image = cls(pixels)
        object.__setattr__(image, "source", source)
        return image

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes

    def to_numpy(self) -> npt.NDArray[np.float32]:
        """A copy of the pixels that may be changed, float32 (B, H, W, 3)."""
        return self.pixels.copy()

    def to_pil(self, index: int = 0) -> PIL.Image.Image:
        """One picture of the batch as an 8-bit RGB picture of PIL; samples are clipped and rounded."""
        import PIL.Image

        return PIL.Image.fromarray(eight_bit(self.pixels[index]))

    def save(self, path: str | os.PathLike[str], index: int = 0) -> None:
        """Write one picture of the batch, in the format that the suffix names and without metadata.

        Raises ValueError for an unknown suffix, and OSError if the file cannot be written.
        """
        self.to_pil(index).save(path)


@dataclass(frozen=True, eq=False, repr=False)
class Mask(ArrayValue):
    """Masks, float32 (B, H, W), 0..1; 1 where the picture is transparent (ComfyUI: masked)."""

    socket_type: ClassVar[str] = "MASK"
    promises: ClassVar[Mapping[str, Promise]] = {"values": Promise(("B", "H", "W"), COLOURS)}

    values: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


@dataclass(frozen=True, eq=False, repr=False)
class Vision(ArrayValue):
    """SigLIP's hidden states after the final norm, (B, m * m, D), row-major over the m x m patches."""

    socket_type: ClassVar[str] = "CLIP_VISION_OUTPUT"
    promises: ClassVar[Mapping[str, Promise]] = {"hidden": Promise(("B", "patches", "width"))}

    hidden: mx.array
    reference: Reference

    @property
    def nbytes(self) -> int:
        return int(self.hidden.nbytes)


@dataclass(frozen=True, eq=False, repr=False)
class ReduxTokens(ArrayValue):
    """A reference picture as tokens in T5's space, (B, n * n, D), row-major over an n x n grid."""

    socket_type: ClassVar[str] = "REDUX_TOKENS"
    promises: ClassVar[Mapping[str, Promise]] = {"tokens": Promise(("B", "tokens", "width"))}

    tokens: mx.array
    reference: Reference

    @property
    def nbytes(self) -> int:
        return int(self.tokens.nbytes)


@dataclass(frozen=True, eq=False, repr=False)
class Conditioning(ArrayValue):
    """What FLUX is conditioned on.

    Attributes
    ----------
    tokens : array (1, N, D)
        The prompt's T5 tokens, then the tokens of each reference.
    pooled : array (1, P)
        CLIP's pooled vector of the prompt.
    prompt : str
    references : tuple of Reference
        In the order of their tokens.
    warnings : tuple of str
        What of the prompt was not read as it was meant.
    """

    socket_type: ClassVar[str] = "CONDITIONING"
    promises: ClassVar[Mapping[str, Promise]] = {
        "tokens": Promise((1, "tokens", "width")),
        "pooled": Promise((1, "width")),
    }

    tokens: mx.array
    pooled: mx.array
    prompt: str
    references: tuple[Reference, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return int(self.tokens.nbytes + self.pooled.nbytes)


@dataclass(frozen=True, eq=False, repr=False)
class Latent(ArrayValue):
    """Latent pictures, (B, height / 8, width / 8, 16), in the transformer's own scale and shift."""

    socket_type: ClassVar[str] = "LATENT"
    promises: ClassVar[Mapping[str, Promise]] = {"samples": Promise(("B", "H/8", "W/8", 16))}

    samples: mx.array
    generation: Generation | None = None

    @property
    def nbytes(self) -> int:
        return int(self.samples.nbytes)


def eight_bit(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Samples 0..1 as 0..255: clipped, and rounded to the nearest step."""
    import numpy as np

    samples: npt.NDArray[np.uint8] = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return samples


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


def _shape(sizes: Sequence[str | int]) -> str:
    return f"({', '.join(map(str, sizes))})"
