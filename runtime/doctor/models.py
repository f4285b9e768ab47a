"""Which models are on this machine, and whether each part of them fits into its memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.checkpoints import (
    FLUX_ALIASES,
    REDUX_ALIASES,
    Checkpoint,
    resolve_flux,
    resolve_redux,
)
from run_graph.runtime.models.components import FLUX_COMPONENTS, REDUX_COMPONENTS, Component
from run_graph.runtime.models.sizes import estimated_bytes, published_bytes

State = Literal["here", "partly here", "not here", "damaged"]

PRECISIONS: tuple[int | None, ...] = (None, 8, 4)
"""The values of `quantize` that are looked at; None is the precision that a model is stored in."""


@dataclass(frozen=True)
class Part:
    """One network of a model, which is loaded and evicted as a whole.

    Attributes
    ----------
    component : str
    nbytes : dict
        Bytes that its weights take in memory, by precision; those of a model that is not here are estimated
        from the size of its published files.
    """

    component: Component
    nbytes: dict[int | None, int]


@dataclass(frozen=True)
class ModelState:
    """A model that has an alias.

    Attributes
    ----------
    name : str
    state : str
    parts : tuple of Part
    faults : tuple of str
        What is wrong with its files.
    """

    name: str
    state: State
    parts: tuple[Part, ...]
    faults: tuple[str, ...] = ()

    def to_json(self, budget: int) -> dict[str, Any]:
        """The model as plain values; a part fits if its weights take at most `budget` bytes."""
        return {
            "name": self.name,
            "state": self.state,
            "parts": [
                {
                    "component": part.component,
                    "precisions": [
                        {"quantize": bits, "nbytes": nbytes, "fits": nbytes <= budget}
                        for bits, nbytes in part.nbytes.items()
                    ],
                }
                for part in self.parts
            ],
            "faults": list(self.faults),
        }


def known_models(float_bytes: int) -> list[ModelState]:
    """The state of each model that has an alias. Does not use the network, and reads headers only.

    `float_bytes` are those of a weight that is not quantised.
    """
    flux = [_state(name, resolve_flux(name), FLUX_COMPONENTS, float_bytes) for name in FLUX_ALIASES]
    redux = [_state(name, resolve_redux(name), REDUX_COMPONENTS, float_bytes) for name in REDUX_ALIASES]
    return [*flux, *redux]


def _state(
    name: str, checkpoint: Checkpoint, components: Iterable[Component], float_bytes: int
) -> ModelState:
    try:
        sources = {each: checkpoint.local_source(each) for each in components}
        parts = tuple(
            Part(
                each,
                {
                    bits: published_bytes(each, bits, float_bytes)
                    if source is None
                    else estimated_bytes(source, bits, float_bytes)
                    for bits in PRECISIONS
                },
            )
            for each, source in sources.items()
        )
    except (ModelError, OSError, ValueError) as error:
        return ModelState(name, "damaged", (), (str(error),))
    present = [source is not None for source in sources.values()]
    return ModelState(name, "here" if all(present) else "partly here" if any(present) else "not here", parts)
