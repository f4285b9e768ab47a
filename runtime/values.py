"""The values that travel along links. Frozen; their arrays are never written to.

Importing this module imports no MLX: arrays are only held. Pictures live on the host as numpy arrays,
tensors of the networks as MLX arrays.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from graph.sockets import SocketValue
from runtime.generation import Generation, Reference

if TYPE_CHECKING:
    import mlx.core as mx

    from runtime.models.checkpoints import Checkpoint


@dataclass(frozen=True, eq=False)
class Image(SocketValue):
    """Pictures.

    Attributes
    ----------
    pixels : float32 array (B, H, W, 3)
        Colours, 0..1.
    source : str or None
        The file that they were read from, as the workflow names it.
    generation : Generation or None
        How they were made, if they were.
    """

    socket_type: ClassVar[str] = "IMAGE"

    pixels: npt.NDArray[np.float32]
    source: str | None = None
    generation: Generation | None = None

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes


@dataclass(frozen=True, eq=False)
class Mask(SocketValue):
    """Masks, float32 (B, H, W), 0..1; 1 where the picture is transparent (ComfyUI: masked)."""

    socket_type: ClassVar[str] = "MASK"

    values: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


@dataclass(frozen=True, eq=False)
class Vision(SocketValue):
    """SigLIP's hidden states after the final norm, (B, m * m, D), row-major over the m x m patches."""

    socket_type: ClassVar[str] = "VISION"

    hidden: mx.array
    reference: Reference

    @property
    def nbytes(self) -> int:
        return int(self.hidden.nbytes)


@dataclass(frozen=True, eq=False)
class ReduxTokens(SocketValue):
    """A reference picture as tokens in T5's space, (B, n * n, D), row-major over an n x n grid."""

    socket_type: ClassVar[str] = "REDUX_TOKENS"

    tokens: mx.array
    reference: Reference

    @property
    def nbytes(self) -> int:
        return int(self.tokens.nbytes)


@dataclass(frozen=True, eq=False)
class Conditioning(SocketValue):
    """What FLUX listens to.

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


@dataclass(frozen=True, eq=False)
class Latent(SocketValue):
    """Latent pictures, (B, height / 8, width / 8, 16), scaled and shifted as the transformer makes them."""

    socket_type: ClassVar[str] = "LATENT"

    samples: mx.array
    generation: Generation | None = None

    @property
    def nbytes(self) -> int:
        return int(self.samples.nbytes)


@dataclass(frozen=True)
class ModelHandle(SocketValue):
    """What to load, not the weights: a checkpoint and a precision. Hashable, and costs nothing.

    Attributes
    ----------
    checkpoint : Checkpoint
    quantize : int or None
        Bits per weight; None keeps the checkpoint's own precision.
    """

    socket_type: ClassVar[str] = "MODEL"

    checkpoint: Checkpoint
    quantize: int | None = None

    @property
    def affinity(self) -> Hashable:
        """The weights that a node with this input computes with."""
        return (self.socket_type, self.checkpoint, self.quantize)


@dataclass(frozen=True)
class Flux(ModelHandle):
    """FLUX's transformer, to be loaded."""

    socket_type: ClassVar[str] = "FLUX"


@dataclass(frozen=True)
class TextEncoders(ModelHandle):
    """T5 and CLIP, to be loaded."""

    socket_type: ClassVar[str] = "TEXT_ENCODERS"


@dataclass(frozen=True)
class Vae(ModelHandle):
    """The autoencoder, to be loaded."""

    socket_type: ClassVar[str] = "VAE"


@dataclass(frozen=True)
class Siglip(ModelHandle):
    """SigLIP's vision tower, to be loaded."""

    socket_type: ClassVar[str] = "SIGLIP"


@dataclass(frozen=True)
class Redux(ModelHandle):
    """The Redux encoder, to be loaded."""

    socket_type: ClassVar[str] = "REDUX"
