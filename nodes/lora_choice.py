"""What the nodes that apply LoRAs share. It has no nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from run_graph.graph import Context, Effect, Environment, Problem
from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.handles import ModelHandle
from run_graph.runtime.models.hub import commit_of
from run_graph.runtime.models.lora_files import LoraSource, lora_digest, resolve_lora
from run_graph.runtime.models.lora_matching import LoraLayout, examine, lora_of

Handle = TypeVar("Handle", bound=ModelHandle)


class LoraChoice:
    """What nodes have in common whose input `lora_input` names a LoRA, beside :class:`graph.Node`."""

    lora_input: ClassVar[str]

    @property
    def changed(self) -> tuple[Component, ...]:
        """The networks that the node can change, given what is linked to it."""
        raise NotImplementedError

    @property
    def skips_unmatched(self) -> bool:
        """Whether tensors that are for no layer of FLUX.1 are left out instead of refused."""
        return True

    def source(self, env: Environment) -> LoraSource | None:
        """Where the LoRA is stored; None if its name is linked. Raises LoraError."""
        name = getattr(self, self.lora_input)
        return resolve_lora(name, env.find_model) if isinstance(name, str) else None

    def check(self, env: Environment) -> Iterable[Problem]:
        try:
            if (source := self.source(env)) is not None:
                source.check_download()
                if source.path is not None:
                    examine(source.path, self.skips_unmatched, self.changed)
        except LoraError as error:
            found = getattr(self, self.lora_input)
            yield Problem(self.lora_input, str(error), "Name another LoRA.", found=found)

    def fingerprint(self, env: Environment) -> Any:
        source = self.source(env)
        if source is None:
            return None
        if source.path is not None:
            return lora_digest(source.path)
        return [source.name, commit_of(source.repo, None)]  # the repository may change

    def effects(self, env: Environment) -> Iterable[Effect]:
        source = self.source(env)
        if source is None:
            return
        if source.path is not None:
            yield Effect("model", str(source.path), "lora")
        elif not source.is_cached():
            yield Effect("download", source.name, "lora")


def examined(ctx: Context, node: LoraChoice) -> LoraLayout:
    """The contents of the LoRA that a node names, for the networks that it can change. Raises LoraError.

    Tensors that are left out are named in a warning, with the reason.
    """
    name = getattr(node, node.lora_input)
    layout = examine(resolve_lora(name, ctx.find_model).locate(), node.skips_unmatched, node.changed)
    if layout.unmatched:
        ctx.warn(
            f"{name}: {len(layout.unmatched)} of its {len(layout.tensors)} tensors are left out: "
            f"{layout.left_out}"
        )
    return layout


def applied(
    handle: Handle, layout: LoraLayout, name: str, strength: float, components: Sequence[Component]
) -> Handle:
    """The handle with the LoRA on those of its networks that the file has layers of."""
    changed = tuple(component for component in components if layout.of(component))
    if not changed or strength == 0:
        return handle
    lora = lora_of(layout.path, name, strength, skip_unmatched=True, components=changed)
    return replace(handle, loras=(*handle.loras, lora))
