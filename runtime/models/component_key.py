"""Names for what is in memory, and which names a model handle stands for. No model code is imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.handles import ModelHandle
from run_graph.runtime.models.lora_files import Lora


class ComponentKey(NamedTuple):
    """What a resident component is: whose, which, how precise, and adapted by what.

    With `loras` it names the adapted network; its base weights are resident under the name without.
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
    """What the model handles among `values` may load, and from where; other values stand for nothing."""
    handles = {value for value in values if isinstance(value, ModelHandle)}
    identities = {checkpoint: checkpoint.identity for checkpoint in {handle.checkpoint for handle in handles}}
    needed = {}
    for handle in handles:
        for component in handle.components:
            name = ComponentKey(identities[handle.checkpoint], component, handle.quantize, handle.loras)
            needed[name] = needed[name.base] = handle.checkpoint
    return needed
