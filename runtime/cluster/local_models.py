"""Models of a client on a worker: the same weights, perhaps in another place.

A model from the Hub is found, or downloaded, by its repository and commit. A local file or folder is looked
for where the client has it and, if that is in the client's home folder, in the same place of the worker's
own. It is used only if its content is the client's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from run_graph.graph.sockets import SocketValue
from run_graph.runtime.errors import CheckpointError, LoraError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.handles import ModelHandle, handles_in
from run_graph.runtime.models.lora_files import Lora, lora_digest, resolve_lora


def with_pinned_models(values: Mapping[str, Any]) -> dict[str, Any]:
    """The client's values; branches of the Hub become the commits that this machine has of them."""

    def pinned(handle: ModelHandle) -> ModelHandle:
        return replace(handle, checkpoint=handle.checkpoint.pinned())

    return {name: _changed(value, pinned) for name, value in values.items()}


def with_local_models(
    values: Mapping[str, Any], identities: Mapping[Checkpoint, str], home: Path
) -> dict[str, Any]:
    """The values, with model handles that name this machine's files.

    Parameters
    ----------
    values : mapping
    identities : mapping
        What the client's files of each checkpoint are (``Checkpoint.identity``).
    home : Path
        The client's home folder.

    Raises
    ------
    CheckpointError, LoraError
        If a model is not on this machine, or is another one of the same name.
    """

    def local(handle: ModelHandle) -> ModelHandle:
        checkpoint = _local_checkpoint(handle.checkpoint, identities[handle.checkpoint], home)
        loras = tuple(_local_lora(lora, home) for lora in handle.loras)
        return replace(handle, checkpoint=checkpoint, loras=loras)

    return {name: _changed(value, local) for name, value in values.items()}


def _changed(value: Any, change: Callable[[ModelHandle], ModelHandle]) -> Any:
    """A value with its model handles changed, those in its fields too."""
    if isinstance(value, ModelHandle):
        return change(value)
    if isinstance(value, SocketValue) and is_dataclass(value) and any(handles_in(value)):
        held = {each.name: getattr(value, each.name) for each in fields(value)}
        return replace(value, **{name: _changed(item, change) for name, item in held.items()})
    return value


def _local_checkpoint(checkpoint: Checkpoint, identity: str, home: Path) -> Checkpoint:
    here = _moved(checkpoint, home)
    if here.identity != identity:
        raise CheckpointError(
            f"The model {checkpoint.name!r} on this worker has other files than the client's. Copy it again."
        )
    return here


def _moved(checkpoint: Checkpoint, home: Path) -> Checkpoint:
    """The checkpoint with this machine's paths. Raises CheckpointError."""
    folder = checkpoint.folder
    return replace(
        checkpoint,
        folder=None if folder is None else _found(folder, home),
        files=tuple((component, _found(path, home)) for component, path in checkpoint.files),
        rest=None if checkpoint.rest is None else _moved(checkpoint.rest, home),
    )


def _found(path: Path, home: Path) -> Path:
    for place in _places(path, home):
        if place.exists():
            return place
    raise CheckpointError(
        f"The model {path} is not on this worker. Copy it there: to the same place, or to the same place of "
        "the home folder."
    )


def _places(path: Path, home: Path) -> list[Path]:
    own = [Path.home() / path.relative_to(home)] if path.is_relative_to(home) else []
    return [path, *own]


def _local_lora(lora: Lora, home: Path) -> Lora:
    path = next((place for place in _places(lora.path, home) if place.is_file()), None)
    if path is None:
        try:
            path = resolve_lora(lora.name, _nowhere).locate()
        except LoraError:
            raise LoraError(
                f"The LoRA {lora.path} is not on this worker. Copy it there: to the same place, or to a "
                "folder of LORA_LIBRARY_PATH."
            ) from None
    if lora_digest(path) != lora.digest:
        raise LoraError(
            f"The LoRA {path} on this worker has another content than the client's. Copy it again."
        )
    return replace(lora, path=path)


def _nowhere(name: str) -> Path:
    raise FileNotFoundError(f"There is no file {name}")
