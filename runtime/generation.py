"""How a picture was made: facts that values carry along the graph, so that the saved file can tell.

They travel with the values rather than being looked up in the workflow, so they are right for any graph,
with any nodes in between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Reference:
    """A reference picture's part in a conditioning.

    Attributes
    ----------
    path : str or None
        Its file, as the workflow names it.
    fit, resample : str or None
        How it was brought to SigLIP's square, and the resizing kernel.
    redux_model : str or None
        Where the Redux encoder came from, as the workflow names it.
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


@dataclass(frozen=True)
class Generation:
    """The settings of a sampled picture, or of a batch of them, of which `seed` is the first one's.

    ``model`` and ``quantize`` are FLUX's, ``base_model`` the one that it is made from; ``width`` and
    ``height`` pixels; ``lora_paths`` the LoRAs as the workflow names them, in the order in which they
    were laid over FLUX; ``step_reuse`` how much might change before a step was computed anew.
    """

    prompt: str
    references: tuple[Reference, ...]
    seed: int
    steps: int
    guidance: float
    width: int
    height: int
    model: str
    quantize: int | None
    base_model: str | None = None
    lora_paths: tuple[str, ...] = ()
    lora_scales: tuple[float, ...] = ()
    step_reuse: float = 0.0

    def of_picture(self, index: int) -> Generation:
        """The settings of one picture of a batch: each has its own seed, the first one's and its index."""
        return replace(self, seed=(self.seed + index) % 2**64)
