"""Models of a client on a worker: the same weights, perhaps in another folder.

A model from the Hub is found, or downloaded, by its repository and commit. A local folder or a LoRA's file is
looked for where the client has it, and then by the name in the workflow, whose ``~`` is the worker's own
home. It is used only if its content is the client's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from run_graph.graph.sockets import SocketValue
from run_graph.runtime.errors import CheckpointError, LoraError, ModelError
from run_graph.runtime.models.checkpoints import Checkpoint, resolve_flux
from run_graph.runtime.models.handles import ModelHandle, handles_in
from run_graph.runtime.models.lora_files import Lora, lora_digest, resolve_lora


def with_local_models(values: Mapping[str, Any], identities: Mapping[Checkpoint, str]) -> dict[str, Any]:
    """The values, with model handles that name this machine's files.

    Parameters
    ----------
    values : mapping
    identities : mapping
        What the client's files of each checkpoint are (``Checkpoint.identity``).

    Raises
    ------
    CheckpointError, LoraError
        If a model is not on this machine, or is another one of the same name.
    """
    return {name: _local(value, identities) for name, value in values.items()}


def _local(value: Any, identities: Mapping[Checkpoint, str]) -> Any:
    if isinstance(value, ModelHandle):
        checkpoint = _local_checkpoint(value.checkpoint, identities[value.checkpoint])
        loras = tuple(_local_lora(lora) for lora in value.loras)
        same = checkpoint == value.checkpoint and all(
            here.path == lora.path for here, lora in zip(loras, value.loras, strict=True)
        )
        return value if same else replace(value, checkpoint=checkpoint, loras=loras)
    if isinstance(value, SocketValue) and is_dataclass(value) and any(handles_in(value)):
        held = {each.name: getattr(value, each.name) for each in fields(value)}
        return replace(value, **{name: _local(item, identities) for name, item in held.items()})
    return value


def _local_checkpoint(checkpoint: Checkpoint, identity: str) -> Checkpoint:
    if checkpoint.folder is None:
        return checkpoint
    here = checkpoint
    if not checkpoint.folder.is_dir():
        try:
            here = replace(resolve_flux(checkpoint.name), name=checkpoint.name)
        except ModelError:
            raise CheckpointError(
                f"The model folder {checkpoint.folder} is not on this worker. Copy it there, to the same "
                "place, or name it from the home folder, as ~/models/NAME."
            ) from None
    if here.identity != identity:
        raise CheckpointError(
            f"The model folder {here.folder} on this worker has other files than the client's. Copy it again."
        )
    return here


def _local_lora(lora: Lora) -> Lora:
    path = lora.path
    if not path.is_file():
        try:
            path = resolve_lora(lora.name, _find).locate()
        except (LoraError, OSError):
            raise LoraError(
                f"The LoRA {lora.path} is not on this worker. Copy it there, to the same place or to a "
                "folder of LORA_LIBRARY_PATH."
            ) from None
    if lora_digest(path) != lora.digest:
        raise LoraError(
            f"The LoRA {path} on this worker has another content than the client's. Copy it again."
        )
    return replace(lora, path=path)


def _find(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {name}")
    return path
