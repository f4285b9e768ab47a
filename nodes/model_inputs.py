"""What the nodes that choose models share. It has no nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from run_graph.graph import Effect, Environment, Problem
from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.sizes import download_bytes

Quantize = Annotated[
    Literal["none", 3, 4, 5, 6, 8],
    BeforeValidator(lambda bits: "none" if bits is None else bits),
]

BITS = "Bits per weight; `none` keeps the checkpoint's precision."
"""What `Quantize` is."""


def bits(quantize: Any) -> int | None:
    """A `Quantize` as a model handle has it."""
    return None if quantize == "none" else int(quantize)


@dataclass(frozen=True)
class ModelInput:
    """An input that names a model.

    Attributes
    ----------
    name : str
        Of the input.
    resolve : callable
        The checkpoint that a name means. Raises UnknownModelError.
    parts : sequence of str
        What of the checkpoint is needed: names of folders.
    """

    name: str
    resolve: Callable[[str], Checkpoint]
    parts: Sequence[str]

    def chosen(self, node: Any) -> Checkpoint | None:
        """The checkpoint that a node names; None if the name is linked. Raises UnknownModelError."""
        model = getattr(node, self.name)
        return self.resolve(model) if isinstance(model, str) else None

    def problems(self, node: Any) -> Iterable[Problem]:
        """What is wrong with the model that a node names, as far as is known without a download."""
        model = getattr(node, self.name)
        try:
            checkpoint = self.chosen(node)
            faults = checkpoint.faults(*self.parts) if checkpoint is not None else []
        except ModelError as error:
            yield Problem(self.name, str(error), "Name another model.", found=model)
            return
        for fault in faults:
            yield Problem(self.name, fault, "Fix the folder, or name another model.", found=model)


class ModelChoice:
    """What nodes have in common whose inputs `models` name models, beside :class:`graph.Node`."""

    models: ClassVar[tuple[ModelInput, ...]] = ()

    def check(self, env: Environment) -> Iterable[Problem]:
        for each in self.models:
            yield from each.problems(self)

    def effects(self, env: Environment) -> Iterable[Effect]:
        for each in self.models:
            if (checkpoint := each.chosen(self)) is not None:
                yield from reading(checkpoint, each.parts)

    def fingerprint(self, env: Environment) -> Any:
        chosen = [each.chosen(self) for each in self.models]
        return [checkpoint and checkpoint.fingerprint() for checkpoint in chosen]


def reading(checkpoint: Checkpoint, parts: Sequence[str]) -> Iterable[Effect]:
    """What reading parts of a checkpoint would read or download."""
    for holder, held in checkpoint.holders(parts).items():
        for path in sorted({path for component, path in holder.files if component in held}):
            yield Effect("model", str(path), "model")
        if holder.folder is not None:
            yield Effect("model", str(holder.folder), "model")
        elif holder.repo is not None and (missing := holder.missing(*held)):
            yield Effect("download", holder.repo, "model", download_bytes(holder.repo, missing))
