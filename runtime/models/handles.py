"""What travels along links in place of weights. Importing this module loads no model code.

Socket types are ComfyUI's, so that nodes of both kinds can be linked in one graph.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from run_graph.graph.sockets import SocketValue
from run_graph.runtime.errors import ModelError

if TYPE_CHECKING:
    from run_graph.runtime.models.checkpoints import Checkpoint
    from run_graph.runtime.models.components import Component
    from run_graph.runtime.models.lora_files import Lora


@dataclass(frozen=True, repr=False)
class ModelHandle(SocketValue):
    """What to load, not the weights: a checkpoint and a precision. Hashable and tiny.

    Attributes
    ----------
    checkpoint : Checkpoint
    quantize : int or None
        Bits per weight; None keeps the checkpoint's own precision.
    loras : tuple of Lora
        Applied in this order, each to the networks that it changes.
    """

    components: ClassVar[tuple[Component, ...]] = ()

    checkpoint: Checkpoint
    quantize: int | None = None
    loras: tuple[Lora, ...] = ()

    def loras_of(self, component: Component) -> tuple[Lora, ...]:
        """The LoRAs that change one of the networks."""
        return tuple(lora for lora in self.loras if component in lora.components)

    def __repr__(self) -> str:
        precision = "" if self.quantize is None else f", {self.quantize} bits"
        return f"{type(self).__name__} of {self.checkpoint.name!r}{precision}"

    @property
    def digest(self) -> str | None:
        """See :attr:`graph.SocketValue.digest`: of the weights and of their names, which results record."""
        plain: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        loras = [
            {each.name: getattr(lora, each.name) for each in fields(lora) if each.name != "path"}
            for lora in self.loras
        ]
        try:
            plain |= {"checkpoint": [self.checkpoint.name, self.checkpoint.fingerprint()], "loras": loras}
            return f"{type(self).__name__} {json.dumps(plain, sort_keys=True)}"
        except (ModelError, TypeError):
            return None

    @property
    def affinity(self) -> Hashable:
        """The weights that a node with this input computes with; a model with LoRAs shares its base's."""
        return (self.socket_type, self.checkpoint, self.quantize)


def handles_in(value: Any) -> Iterator[ModelHandle]:
    """The handle that a value is, or those that its fields are."""
    if isinstance(value, ModelHandle):
        yield value
    elif isinstance(value, SocketValue):
        yield from (each for each in vars(value).values() if isinstance(each, ModelHandle))


@dataclass(frozen=True, repr=False)
class Flux(ModelHandle):
    """FLUX's transformer.

    Attributes
    ----------
    mu : float or None
        How its noise levels are shifted (:class:`runtime.sampling.schedules.NoiseScale`); None: as the model
        itself asks for.
    rescale : float
        How far the spread of guided predictions is set back (:func:`runtime.sampling.conditioned.rescaled`).
    differential : float or None
        How a latent's mask counts in time (:class:`runtime.sampling.guided.Masked`); None: not at all.
    """

    socket_type: ClassVar[str] = "MODEL"
    components: ClassVar[tuple[Component, ...]] = ("transformer",)

    mu: float | None = None
    rescale: float = 0.0
    differential: float | None = None


@dataclass(frozen=True, repr=False)
class TextEncoders(ModelHandle):
    """T5 and CLIP, FLUX's text encoders."""

    socket_type: ClassVar[str] = "CLIP"
    components: ClassVar[tuple[Component, ...]] = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True, repr=False)
class Vae(ModelHandle):
    """The autoencoder."""

    socket_type: ClassVar[str] = "VAE"
    components: ClassVar[tuple[Component, ...]] = ("vae",)


@dataclass(frozen=True, repr=False)
class Siglip(ModelHandle):
    """SigLIP's vision tower."""

    socket_type: ClassVar[str] = "CLIP_VISION"
    components: ClassVar[tuple[Component, ...]] = ("image_encoder",)


@dataclass(frozen=True, repr=False)
class Redux(ModelHandle):
    """The Redux encoder."""

    socket_type: ClassVar[str] = "STYLE_MODEL"
    components: ClassVar[tuple[Component, ...]] = ("image_embedder",)
