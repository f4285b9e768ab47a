"""Write models as mflux-save writes them: quantised once, and read again without quantising.

A component is a folder with its weights in files of at most 2 GiB, called `0.safetensors` and so on, under
the names that they have in memory, and `model.safetensors.index.json`. Each header records
`quantization_level` and `mflux_version` (mflux 0.24: `models/common/weights/saving/model_saver.py`). Beside
these files there is what else run-graph reads: `config.json`, which mflux leaves out, the tokenizers, and the
noise schedule.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
import mlx.nn as nn

from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.models.assembly import GROUP_SIZE, leaves, named
from run_graph.runtime.models.checkpoint_facts import shifts_sigmas
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import SCHEDULER_FOLDER, TOKENIZER_FOLDERS, Component
from run_graph.runtime.models.inspection import read_json
from run_graph.runtime.units import bytes_text

if TYPE_CHECKING:
    from run_graph.runtime.models.loading import LoadedComponent

_LARGEST_FILE = 2 << 30  # bytes
_HALVES = (mx.bfloat16, mx.float16)
_SCHEDULE = "scheduler_config.json"


def write_component(folder: Path, component: Component, loaded: LoadedComponent) -> int:
    """Write a component into `folder / component`; returns the bytes of its weights there.

    Floating-point weights are written in 16 bits where this changes none of them, else as they are in memory,
    so that reading them on a machine with the same number format gives the same bits.

    Raises
    ------
    SaveError
        If the disk has no room for it, or its layers are not packed as mflux packs them.
    """
    _check_packing(component, loaded)
    place = folder / component
    place.mkdir()
    metadata = {"quantization_level": str(loaded.bits), "mflux_version": version("mflux")}
    shards: dict[str, str] = {}
    nbytes = 0
    for number, tensors in enumerate(_files(named(loaded.module.parameters()))):
        size = sum(array.nbytes for array in tensors.values())
        _check_room(place, size)
        name = f"{number}.safetensors"
        mx.save_safetensors(str(place / name), tensors, metadata)
        shards |= dict.fromkeys(tensors, name)
        nbytes += size
    _write_json(place / "model.safetensors.index.json", {"metadata": metadata, "weight_map": shards})
    if loaded.config:
        _write_json(place / "config.json", loaded.config)
    return nbytes


def _check_packing(component: Component, loaded: LoadedComponent) -> None:
    """Refuse layers of several precisions, or of other groups than mflux's, as GGUF files have them."""
    packed = {
        (layer.bits, layer.group_size)
        for _, layer in leaves(loaded.module)
        if isinstance(layer, (nn.QuantizedLinear, nn.QuantizedEmbedding))
    }
    if packed - {(loaded.bits, GROUP_SIZE)}:
        raise SaveError(
            f"cannot write the {component}: it comes from a GGUF file, whose quantised weights mflux's files "
            "cannot hold; use the GGUF file itself, or save from a file with F16 or BF16 weights"
        )


def write_tokenizers(folder: Path, checkpoint: Checkpoint) -> None:
    """Copy the files of both tokenizers. Raises CheckpointError, DownloadError."""
    for part in TOKENIZER_FOLDERS.values():
        shutil.copytree(checkpoint.locate_complete(part) / part, folder / part)


def write_schedule(folder: Path, checkpoint: Checkpoint) -> None:
    """Write whether the noise schedule is shifted. Raises CheckpointError."""
    shifts = shifts_sigmas(checkpoint)
    local = checkpoint.local_folder(SCHEDULER_FOLDER)
    config = read_json(local / SCHEDULER_FOLDER / _SCHEDULE) if local is not None else {}
    (folder / SCHEDULER_FOLDER).mkdir()
    _write_json(folder / SCHEDULER_FOLDER / _SCHEDULE, {**config, "use_dynamic_shifting": shifts})


def _files(weights: Mapping[str, mx.array]) -> Iterator[dict[str, mx.array]]:
    """The weights of each file, in order."""
    tensors: dict[str, mx.array] = {}
    size = 0
    for name, array in weights.items():
        array = _narrowest(array)
        if tensors and size + array.nbytes > _LARGEST_FILE:
            yield tensors
            tensors, size = {}, 0
        tensors[name] = array
        size += array.nbytes
    yield tensors


def _narrowest(array: mx.array) -> mx.array:
    """A float32 array in 16 bits if that loses nothing; any other array as it is."""
    if array.dtype == mx.float32:
        for narrow in _HALVES:
            if mx.array_equal(array.astype(narrow).astype(mx.float32), array).item():
                return array.astype(narrow)
    return array


def _check_room(place: Path, size: int) -> None:
    if size > (free := shutil.disk_usage(place).free):
        raise SaveError(
            f"cannot write the {place.name}: it needs {bytes_text(size)} more and {bytes_text(free)} are "
            "free; free some space, or set quantize to fewer bits"
        )


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
