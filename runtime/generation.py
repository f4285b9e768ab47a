"""How a picture was made: facts that values carry along the graph, so that the saved file can say it.

They travel with the values, so they are right for the value that carries them. What a node in between does
to a value is not among them: whether the facts suffice to make the picture again is decided where it is saved
(:mod:`runtime.formats.mflux.coverage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Background = Literal["none", "white", "grey", "black"]
"""The colour that a file's transparency is laid over; "none": colours stay as they are stored."""

Frames = Literal["all", "first"]
"""Which pictures of a file with several are read."""


@dataclass(frozen=True)
class PictureFile:
    """A picture file as it was read.

    Attributes
    ----------
    path : str
        As the workflow names it.
    background : str
    frames : str
    """

    path: str
    background: Background = "none"
    frames: Frames = "all"


@dataclass(frozen=True)
class Reference:
    """A reference picture's part in a conditioning.

    Attributes
    ----------
    path : str or None
        Its file, as the workflow names it; None if a node changed or made the picture.
    fit, resample : str or None
        How it was brought to SigLIP's square, and the resizing kernel.
    redux_model : str or None
        Where the Redux encoder came from, as the workflow names it.
    redux_quantize : int or None
        The encoder's bits per weight; None for the checkpoint's precision.
    background, frames : str
        How the file was read, as in :class:`PictureFile`.
    mode, interpolation : str or None
        How its token grid was reduced; None if it was not.
    factor : float or None
        The explicit reduction factor, if one was given instead of a mode.
    tokens : int
        Number of tokens that it contributes.
    strength : float
        What its tokens were multiplied by.
    """

    path: str | None = None
    fit: str | None = None
    resample: str | None = None
    mode: str | None = None
    interpolation: str | None = None
    factor: float | None = None
    tokens: int = 0
    strength: float = 1.0
    redux_model: str | None = None
    redux_quantize: int | None = None
    background: str = "none"
    frames: str = "all"


@dataclass(frozen=True)
class Generation:
    """The settings of a sampled picture, or of a batch of them.

    Attributes
    ----------
    prompt : str
    references : tuple of Reference
        In the order of their tokens.
    model, quantize
        FLUX's, as the workflow names it, and its bits per weight.
    base_model : str or None
        The model that it was made from.
    lora_paths, lora_scales
        The LoRAs as the workflow names them, in the order in which they were applied.
    parameters : mapping
        The parameters of the nodes that sampled and decoded it, by input name: ``seed``, ``steps``,
        ``width``, ``tile_size``, ... Of a batch, ``seed`` is the first picture's.
    warnings : tuple of str
        What of the prompt was not read as it was meant.
    """

    prompt: str
    references: tuple[Reference, ...]
    model: str
    quantize: int | None
    base_model: str | None = None
    lora_paths: tuple[str, ...] = ()
    lora_scales: tuple[float, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    warnings: tuple[str, ...] = ()

    def of_picture(self, index: int) -> Generation:
        """The settings of one picture of a batch, made alone: it has the first one's seed plus its index."""
        if "seed" not in self.parameters:
            return self
        alone = {"seed": (self.parameters["seed"] + index) % 2**64, "batch_size": 1}
        return self.with_parameters(alone)

    def with_parameters(self, more: Mapping[str, Any]) -> Generation:
        """The same, with the parameters of another node it went through."""
        return replace(self, parameters={**self.parameters, **more})
