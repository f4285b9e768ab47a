"""Cheap checks that a checkpoint's files are present and complete, without reading weights.

Only the headers of the safetensors files are read. Format: eight bytes little-endian header length,
a JSON header `name -> {dtype, shape, data_offsets}`, then the data
(https://huggingface.co/docs/safetensors).
"""

import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run_graph.runtime.files.regular import NotRegularError, open_regular, read_regular
from run_graph.runtime.models.components import COMPONENTS, SCHEDULER_FOLDER
from run_graph.runtime.models.layouts.other_formats import LONGEST, other_format

_LONGEST_HEADER = 100_000_000  # Bytes; the limit of the format.
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "vocab.json")
_AGAIN = "Download or copy it again."
_USUAL = ("diffusion_pytorch_model.safetensors", "model.safetensors")  # diffusers' and transformers' names
MFLUX = {"mflux_version", "quantization_level"}  # metadata of mflux-save; old versions wrote only the second


@dataclass(frozen=True)
class Tensor:
    """What a header says about one tensor: its type, and the place of its bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    start: int = 0


@dataclass(frozen=True)
class Header:
    """The header of one safetensors file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def faults(folder: Path, parts: Iterable[str]) -> list[str]:
    """What is wrong with the named parts of the checkpoint in `folder`; empty if nothing is.

    Parts are folder names: the components with weights, `tokenizer`, `tokenizer_2`, `scheduler`.
    """
    if not folder.is_dir():
        return [f"The model folder {folder} does not exist."]
    return [fault for part in parts for fault in _part_faults(folder, part)]


def weight_files(component_folder: Path) -> list[Path]:
    """The component's safetensors files, without macOS's `._` companion files.

    If an index lists the shards, only those count, and otherwise the file with the usual name, if it is
    there: an earlier save or a variant of another precision may have left others.
    """
    for index in _indices(component_folder):
        if indexed := [path for name in _indexed(index) if (path := component_folder / name).is_file()]:
            return indexed
    usual = [path for name in _USUAL if (path := component_folder / name).is_file()]
    return usual[:1] or sorted(
        path for path in component_folder.glob("*.safetensors") if not path.name.startswith("._")
    )


def is_a_file(path: Path) -> bool:
    """Whether a path is a file of a model: a regular one, and not macOS's `._` companion of another."""
    return path.is_file() and not path.name.startswith("._")


def read_header(path: Path) -> Header:
    """Read and check one file's header.

    Raises
    ------
    OSError
        If it cannot be read, or is a pipe or a device.
    ValueError
        If it is not a safetensors file or is cut short. The message is a complete sentence, which names the
        format of other programs.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(LONGEST)
        if (other := other_format(start)) is not None:
            raise ValueError(f"{path} {other}")
        length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else size
        if length > min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"{path} is cut short or is not a safetensors file. {_AGAIN}")
        file.seek(8)
        text = file.read(length)
    try:
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", None) or {}  # MLX writes null if there is none.
        spans = {name: entry["data_offsets"] for name, entry in entries.items()}
        tensors = {
            name: Tensor(
                entry["dtype"],
                tuple(entry["shape"]),
                spans[name][1] - spans[name][0],
                8 + length + spans[name][0],
            )
            for name, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} has an unreadable header. {_AGAIN}") from error
    expected = 8 + length + max((end for _, end in spans.values()), default=0)
    if size < expected:
        raise ValueError(f"{path} is cut short: {size:,} of {expected:,} bytes. {_AGAIN}")
    return Header(tensors, metadata)


def read_bytes(path: Path, tensor: Tensor) -> bytearray:
    """A tensor's bytes. Raises OSError, or ValueError if the file has become shorter."""
    content = bytearray(tensor.nbytes)
    with open_regular(path) as file:
        file.seek(tensor.start)
        if file.readinto(content) != tensor.nbytes:
            raise ValueError(f"{path} is cut short. {_AGAIN}")
    return content


def tensors(component_folder: Path) -> dict[str, Tensor]:
    """Every tensor of a component, from all its files. Raises ValueError like `read_header`."""
    return {
        name: tensor
        for path in weight_files(component_folder)
        for name, tensor in read_header(path).tensors.items()
    }


def saved_bits(component_folder: Path) -> int | None:
    """Bits of the quantisation that mflux recorded when it saved this component; None if unquantised."""
    for path in weight_files(component_folder):
        recorded = read_header(path).metadata.get("quantization_level", "")
        if recorded.isdigit():
            return int(recorded)
    return None


def is_saved_by_mflux(component_folder: Path) -> bool:
    """Whether `mflux-save` wrote the component, with its own tensor names and without a `config.json`."""
    return any(MFLUX & read_header(path).metadata.keys() for path in weight_files(component_folder))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; `{}` if the file does not exist. Raises ValueError, a complete sentence."""
    try:
        value = json.loads(read_regular(path))
    except FileNotFoundError:
        return {}
    except NotRegularError as error:
        raise ValueError(f"{error}. {_AGAIN}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}). {_AGAIN}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} does not contain a JSON object. {_AGAIN}")
    return value


def _part_faults(folder: Path, part: str) -> list[str]:
    place = folder / part
    if not place.is_dir():
        return [f"{folder} has no folder {part!r}; a FLUX.1 model in diffusers' layout has one. {_AGAIN}"]
    if part in COMPONENTS:
        return _weight_faults(place)
    if part == SCHEDULER_FOLDER:
        return _json_faults(place / "scheduler_config.json")
    if not any((place / name).is_file() for name in _TOKENIZER_FILES):
        return [f"{place} has none of {', '.join(_TOKENIZER_FILES)}. {_AGAIN}"]
    return []


def _weight_faults(place: Path) -> list[str]:
    found = _missing_shards(place)
    files = weight_files(place)
    if not files and not found:
        found.append(f"{place} contains no *.safetensors file. {_AGAIN}")
    for path in files:
        try:
            read_header(path)
        except (OSError, ValueError) as error:
            found.append(str(error) if isinstance(error, ValueError) else f"{error}. {_AGAIN}")
    if found:
        return found
    return [] if is_saved_by_mflux(place) else _json_faults(place / "config.json")


def _indices(place: Path) -> list[Path]:
    """The folder's indices of shards; that of a variant, such as `model.fp16...`, after the plain one."""
    return sorted(place.glob("*.safetensors.index.json"), key=lambda path: (len(path.name), path.name))


def _indexed(index: Path) -> list[str]:
    """The shards that an index lists, in order; empty without a readable index."""
    try:
        named = read_json(index).get("weight_map")
    except ValueError:
        return []
    return sorted({str(name) for name in named.values()}) if isinstance(named, dict) else []


def _missing_shards(place: Path) -> list[str]:
    found = []
    for index in _indices(place):
        try:
            read_json(index)
        except ValueError as error:
            found.append(str(error))
        if absent := [name for name in _indexed(index) if not (place / name).is_file()]:
            found.append(f"{place} lacks {', '.join(absent)}, listed in {index.name}. {_AGAIN}")
    return found


def _json_faults(path: Path) -> list[str]:
    if not path.exists():
        return [f"{path} is missing. {_AGAIN}"]
    try:
        read_json(path)
    except ValueError as error:
        return [str(error)]
    return []
