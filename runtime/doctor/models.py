"""Which models are on this machine, and whether each part of them fits into its memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.aliases import FLUX_ALIASES, REDUX_ALIASES
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import FLUX_COMPONENTS, REDUX_COMPONENTS, Component
from run_graph.runtime.models.library.contents import ModelFile, model_files, source_of
from run_graph.runtime.models.resolution import resolve_flux, resolve_redux
from run_graph.runtime.models.sizes import estimated_bytes, published_bytes
from run_graph.runtime.models.sources import Source

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
    least : dict
        The same if the transformer's modulation layers are let go before its blocks are loaded, as is done
        where memory is short.
    """

    component: Component
    nbytes: dict[int | None, int]
    least: dict[int | None, int]

    def to_json(self, budget: int) -> dict[str, Any]:
        """The part as plain values; it fits if its weights can do with at most `budget` bytes."""
        return {
            "component": self.component,
            "precisions": [
                {
                    "quantize": bits,
                    "nbytes": nbytes,
                    "least": self.least[bits],
                    "fits": self.least[bits] <= budget,
                }
                for bits, nbytes in self.nbytes.items()
            ],
        }


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
        """The model as plain values; `budget` is in bytes."""
        return {
            "name": self.name,
            "state": self.state,
            "parts": [part.to_json(budget) for part in self.parts],
            "faults": list(self.faults),
        }


@dataclass(frozen=True)
class FileState:
    """A file in the user's folders, and the memory that its networks take."""

    file: ModelFile
    parts: tuple[Part, ...]

    def to_json(self, budget: int) -> dict[str, Any]:
        """The file as plain values; `budget` is in bytes."""
        return {**self.file.to_json(), "parts": [part.to_json(budget) for part in self.parts]}


def known_models(float_bytes: int) -> list[ModelState]:
    """The state of each model that has an alias. Does not use the network, and reads headers only.

    `float_bytes` are those of a weight that is not quantised.
    """
    flux = [_state(name, resolve_flux(name), FLUX_COMPONENTS, float_bytes) for name in FLUX_ALIASES]
    redux = [_state(name, resolve_redux(name), REDUX_COMPONENTS, float_bytes) for name in REDUX_ALIASES]
    return [*flux, *redux]


def found_files(float_bytes: int) -> list[FileState]:
    """The files in the user's folders that hold networks, and LoRAs. Reads headers only.

    Raises FolderSettingsError.
    """
    return [
        FileState(
            file,
            tuple(
                _part(network.component, source_of(file.file.path, network.component), float_bytes)
                for network in file.networks
            ),
        )
        for file in model_files()
        if not file.note
    ]


def _part(component: Component, source: Source | None, float_bytes: int) -> Part:
    def size(bits: int | None, streamed: bool) -> int:
        streamed = streamed and component == "transformer"
        if source is None:
            return published_bytes(component, bits, float_bytes, streamed=streamed)
        return estimated_bytes(source, bits, float_bytes, streamed=streamed)

    whole, least = ({bits: size(bits, streamed) for bits in PRECISIONS} for streamed in (False, True))
    return Part(component, whole, least)


def _state(
    name: str, checkpoint: Checkpoint, components: Iterable[Component], float_bytes: int
) -> ModelState:
    try:
        sources = {each: checkpoint.local_source(each) for each in components}
        parts = tuple(_part(each, source, float_bytes) for each, source in sources.items())
    except (ModelError, OSError, ValueError) as error:
        return ModelState(name, "damaged", (), (str(error),))
    present = [source is not None for source in sources.values()]
    return ModelState(name, "here" if all(present) else "partly here" if any(present) else "not here", parts)
