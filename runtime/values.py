"""The values that travel along links. They are frozen, and their arrays are never written to.

Pictures are numpy arrays, the networks' tensors MLX arrays. Importing this module imports neither library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from run_graph.graph.sockets import SocketValue
from run_graph.runtime.generation import Generation, PictureFile, Reference

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    import numpy.typing as npt


class ArrayValue(SocketValue):
    """A value made of arrays. Messages show their shapes rather than their numbers."""

    def __repr__(self) -> str:
        shapes = [value.shape for value in self.__dict__.values() if hasattr(value, "shape")]
        return f"{type(self).__name__} {', '.join(' x '.join(map(str, shape)) for shape in shapes)}"


@dataclass(frozen=True, eq=False, repr=False)
class Image(ArrayValue):
    """Pictures.

    Attributes
    ----------
    pixels : float32 array (B, H, W, 3)
        Colours, 0..1.
    source : PictureFile or None
        The file whose content these pixels are. Only `from_file` sets it: a changed copy
        (``dataclasses.replace``) does not have it, since its pixels are no longer the file's.
    generation : Generation or None
        How they were sampled, if they were. A changed copy keeps it.
    """

    socket_type: ClassVar[str] = "IMAGE"

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


@dataclass(frozen=True, eq=False, repr=False)
class Mask(ArrayValue):
    """Masks, float32 (B, H, W), 0..1; 1 where the picture is transparent (ComfyUI: masked)."""

    socket_type: ClassVar[str] = "MASK"

    values: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


@dataclass(frozen=True, eq=False, repr=False)
class Vision(ArrayValue):
    """SigLIP's hidden states after the final norm, (B, m * m, D), row-major over the m x m patches."""

    socket_type: ClassVar[str] = "CLIP_VISION_OUTPUT"

    hidden: mx.array
    reference: Reference

    @property
    def nbytes(self) -> int:
        return int(self.hidden.nbytes)


@dataclass(frozen=True, eq=False, repr=False)
class ReduxTokens(ArrayValue):
    """A reference picture as tokens in T5's space, (B, n * n, D), row-major over an n x n grid."""

    socket_type: ClassVar[str] = "REDUX_TOKENS"

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
    """

    socket_type: ClassVar[str] = "CONDITIONING"

    tokens: mx.array
    pooled: mx.array
    prompt: str
    references: tuple[Reference, ...] = ()

    @property
    def nbytes(self) -> int:
        return int(self.tokens.nbytes + self.pooled.nbytes)


@dataclass(frozen=True, eq=False, repr=False)
class Latent(ArrayValue):
    """Latent pictures, (B, height / 8, width / 8, 16), in the transformer's own scale and shift."""

    socket_type: ClassVar[str] = "LATENT"

    samples: mx.array
    generation: Generation | None = None

    @property
    def nbytes(self) -> int:
        return int(self.samples.nbytes)
