"""Keys of the components in memory, and which keys a model handle needs. Imports no model code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.handles import handles_in
from run_graph.runtime.models.lora_files import Lora


class ComponentKey(NamedTuple):
    """Identifies a component in memory: its checkpoint, which part, its precision and its LoRAs.

    With `loras` it means the adapted network; the base weights have the key without them.
    """

    identity: str
    component: Component
    quantize: int | None
    loras: tuple[Lora, ...] = ()

    @property
    def base(self) -> ComponentKey:
        """The component without its adapters."""
        return self._replace(loras=())


def needed_by(values: Iterable[Any]) -> dict[ComponentKey, Checkpoint]:
    """The components that the model handles among `values` may load, each with its checkpoint.

    A handle may also be a field of a value, such as a guider's. Other values are ignored.
    """
    handles = {handle for value in values for handle in handles_in(value)}
    identities = {checkpoint: checkpoint.identity for checkpoint in {handle.checkpoint for handle in handles}}
    needed = {}
    for handle in handles:
        for component in handle.components:
            loras = handle.loras_of(component)
            key = ComponentKey(identities[handle.checkpoint], component, handle.quantize, loras)
            needed[key] = needed[key.base] = handle.checkpoint
    return needed
