"""The values that travel along links. They are frozen, and their arrays are never written to.

What a node returns is sealed (:meth:`ArrayValue.seal`); :mod:`runtime.handing_out` gives it to others.

Pictures are numpy arrays, the networks' tensors MLX arrays. Importing this module imports neither library.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from run_graph.runtime.array_value import ArrayValue, Promise, array_library
from run_graph.runtime.conditioning import Conditioning, Entry
from run_graph.runtime.generation import Generation, PictureFile, Reference

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    import numpy.typing as npt
    import PIL.Image


__all__ = [
    "ArrayValue",
    "Conditioning",
    "Entry",
    "Image",
    "Latent",
    "Mask",
    "NoiseChoice",
    "Promise",
    "ReduxTokens",
    "SamplerChoice",
    "Sigmas",
    "Vision",
    "array_library",
    "eight_bit",
    "unit",
]

_EIGHT_BIT = "_eight_bit_samples"  # where a picture keeps them

# Resampling kernels with negative lobes go a little beyond 0 and 1; samples of 0 to 255 go far beyond.
COLOURS = (-1.0, 2.0)


@dataclass(frozen=True, eq=False, repr=False)
class Image(ArrayValue):
    """Pictures.

    Attributes
    ----------
    pixels : float32 array (B, H, W, 3) or (B, H, W, 4)
        Colours, 0..1; the fourth channel, if there is one, is alpha: 1 is opaque. Colours are not multiplied
        by it. Read-only in a node; the caller of a run has a copy that it may change.
    source : PictureFile or None
        The file whose content these pixels are. Only `from_file` sets it: a changed copy
        (``dataclasses.replace``) does not have it, since its pixels are no longer the file's.
    generation : Generation or None
        How they were sampled, if they were. A changed copy keeps it.
    truncates : bool
        Whether 8-bit samples are cut rather than rounded: ComfyUI does so with what its nodes compute.
    """

    socket_type: ClassVar[str] = "IMAGE"
    promises: ClassVar[Mapping[str, Promise]] = {"pixels": Promise(("B", "H", "W", (3, 4)), COLOURS)}

    pixels: npt.NDArray[np.float32]
    source: PictureFile | None = field(default=None, init=False)
    generation: Generation | None = None
    truncates: bool = False

    @classmethod
    def from_file(cls, samples: npt.NDArray[Any], source: PictureFile) -> Image:
        """Pictures exactly as they were read from a file.

        Parameters
        ----------
        samples : uint8 or float32 array (B, H, W, 3)
            0..255, or 0..1. 8-bit samples are kept so; `pixels` then converts them whenever it is read.
        source : PictureFile
        """
        return cls._of(samples, source=source)

    @classmethod
    def from_comfyui(cls, samples: npt.NDArray[Any], generation: Generation | None = None) -> Image:
        """Pictures that one of ComfyUI's nodes made: `truncates` is set.

        Parameters
        ----------
        samples : uint8 or float32 array (B, H, W, 3) or (B, H, W, 4)
            As for `from_file`.
        generation : Generation or None
        """
        return cls._of(samples, generation=generation, truncates=True)

    @classmethod
    def _of(cls, samples: npt.NDArray[Any], **facts: Any) -> Image:
        image = cls.__new__(cls)
        name = "pixels" if samples.dtype == "float32" else _EIGHT_BIT
        defaults = {"source": None, "generation": None, "truncates": False}
        image.__dict__.update({name: samples, **defaults, **facts})
        return image

    def __getattr__(self, name: str) -> Any:
        # Called for what is not set: `pixels`, if the picture is kept in 8 bits.
        samples = self.__dict__.get(_EIGHT_BIT)
        if name != "pixels" or samples is None:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return _read_only(unit(samples))

    @property
    def samples(self) -> npt.NDArray[Any]:
        """The picture as it is kept: uint8, 0..255, if it was read from an 8-bit file, else `pixels`."""
        samples: npt.NDArray[Any] | None = self.__dict__.get(_EIGHT_BIT)
        return self.pixels if samples is None else samples

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Count, height, width and channels, without converting anything."""
        batch, height, width, channels = self.samples.shape
        return batch, height, width, channels

    @property
    def nbytes(self) -> int:
        return self.samples.nbytes

    def eight_bit(self, index: int = 0) -> npt.NDArray[np.uint8]:
        """One picture of the batch as uint8 (H, W, C), 0..255.

        Floats are clipped, then rounded, or cut if the picture `truncates`.
        """
        return eight_bit(self.samples[index], self.truncates)

    def to_numpy(self) -> npt.NDArray[np.float32]:
        """A copy of the pixels that may be changed, float32 (B, H, W, C)."""
        return self.pixels.copy()

    def to_pil(self, index: int = 0) -> PIL.Image.Image:
        """One picture of the batch as an 8-bit RGB or RGBA picture of PIL; see `eight_bit`."""
        import PIL.Image

        return PIL.Image.fromarray(self.eight_bit(index))

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
class Latent(ArrayValue):
    """Latent pictures.

    Attributes
    ----------
    samples : array (B, height / 8, width / 8, C)
        In the autoencoder's own scale, as ComfyUI passes them. C is 16; an empty latent may have another C.
    generation : Generation or None
        How they were sampled, if they were. A changed copy keeps it.
    noise_mask : float32 array (B or 1, H, W) or None
        Where a sampler may change the picture, 0..1, at any size.
    batch_index : tuple of int or None
        Which picture of a larger batch each one is: it gets that one's noise.
    """

    socket_type: ClassVar[str] = "LATENT"
    promises: ClassVar[Mapping[str, Promise]] = {
        "samples": Promise(("B", "H/8", "W/8", "channels")),
        "noise_mask": Promise(("B", "H", "W"), COLOURS),
    }

    samples: mx.array
    generation: Generation | None = None
    noise_mask: npt.NDArray[np.float32] | None = None
    batch_index: tuple[int, ...] | None = None

    @property
    def nbytes(self) -> int:
        return int(self.samples.nbytes) + (0 if self.noise_mask is None else self.noise_mask.nbytes)


@dataclass(frozen=True, eq=False)
class SamplerChoice(ArrayValue):
    """A sampler and its options.

    Attributes
    ----------
    name : str
        A name in :data:`runtime.sampling.samplers.SAMPLERS`.
    options : tuple of (str, value)
        Keyword parameters of its solver in ``runtime/sampling/solvers/``; those left out keep their defaults.
    """

    socket_type: ClassVar[str] = "SAMPLER"

    name: str
    options: tuple[tuple[str, float | int | str], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Sigmas(ArrayValue):
    """The noise levels that a sampler visits, float32 (levels,), usually from 1 down to 0; perhaps none."""

    socket_type: ClassVar[str] = "SIGMAS"
    promises: ClassVar[Mapping[str, Promise]] = {"levels": Promise(("levels",))}

    levels: npt.NDArray[np.float32]

    @classmethod
    def of(cls, levels: npt.ArrayLike) -> Sigmas:
        """These levels, rounded to float32."""
        import numpy as np

        return cls(np.array(levels, np.float32))

    @property
    def nbytes(self) -> int:
        return self.levels.nbytes

    def seal(self) -> None:
        if self.levels.size:
            super().seal()
        else:  # other arrays must not be empty
            self.levels.flags.writeable = False

    def to_list(self) -> list[float]:
        """The levels as Python numbers."""
        return [float(level) for level in self.levels]


@dataclass(frozen=True, eq=False)
class NoiseChoice(ArrayValue):
    """Where the noise of a sampling comes from.

    Attributes
    ----------
    seed : int
        0 to 2**64 - 1; of the noise that samplers add, too.
    is_added : bool
        Whether the latents begin with noise.
    """

    socket_type: ClassVar[str] = "NOISE"

    seed: int
    is_added: bool = True


def eight_bit(pixels: npt.NDArray[Any], truncate: bool = False) -> npt.NDArray[np.uint8]:
    """Samples 0..1 as 0..255: clipped, then rounded to the nearest step or cut. Those of 8 bits stay."""
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels
    steps = np.clip(pixels, 0, 1) * 255
    samples: npt.NDArray[np.uint8] = (steps if truncate else np.round(steps)).astype(np.uint8)
    return samples


def unit(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Samples as float32, 0..1: those of 8 bits are divided by 255."""
    import numpy as np

    if samples.dtype != np.uint8:
        return samples.astype(np.float32, copy=False)
    pixels: npt.NDArray[np.float32] = np.divide(samples, np.float32(255), dtype=np.float32)
    return pixels


def _read_only(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    array.flags.writeable = False
    return array
