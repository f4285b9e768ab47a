"""Match each tensor of a LoRA file to a layer of FLUX's transformer, from the file's header alone.

The table of names is mflux's (`FluxLoRAMapping`). It covers files from diffusers and PEFT, from kohya and
the original FLUX code (with fused projections), and from LyCORIS (LoKr). Only the header is read, so a
LoRA for another model is refused before anything is computed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mflux.models.common.lora.mapping.lora_loader import LoRALoader, PatternMatch
from mflux.models.flux.weights.flux_lora_mapping import FluxLoRAMapping

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.inspection import Tensor, read_header

_LISTED = 3  # How many names of a longer list a message shows.
_DOWN, _UP = "lora_A", "lora_B"
_BLOCK = "{block}"
_MATRIX = re.compile(r"\.(lora|lokr|dora|alpha|diff)[^{}]*$")


@dataclass(frozen=True)
class LoraLayout:
    """What a LoRA file holds.

    Attributes
    ----------
    path : Path
    tensors : dict
        The header's entries by key.
    layers : dict
        For each layer (a dotted name in mflux's transformer), the keys of its matrices by mflux's names
        for them: `lora_A`, `lora_B`, `alpha`, `lokr_w1`, ...
    layers_of : dict
        For each key, its layers in the order of its rows; several if the file fuses projections.
    modules : set
        The file's own names for its layers, with `{block}` in place of a number.
    unmatched : list
        Keys that match no layer of FLUX's transformer.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    layers: dict[str, dict[str, str]] = field(default_factory=dict)
    layers_of: dict[str, list[str]] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    unmatched: list[str] = field(default_factory=list)


def examine(path: Path, skip_unmatched: bool = False) -> LoraLayout:
    """Match a file's keys to layers and check that every adapter is complete.

    Parameters
    ----------
    path
        A safetensors file.
    skip_unmatched
        Skip keys that match no layer of FLUX's transformer, such as those of a text encoder.

    Raises
    ------
    LoraError
        If the file cannot be read, matches no layer of FLUX, has unmatched keys or unpaired matrices, or
        has pairs of matrices of different rank; the message names the keys.
    """
    try:
        layout = LoraLayout(path, read_header(path).tensors)
    except (OSError, ValueError) as error:
        raise LoraError(f"The LoRA cannot be read: {error}") from error
    for key in layout.tensors:
        _place(layout, key)
    _check_matched(layout, skip_unmatched)
    for matrices in layout.layers.values():
        _check_adapter(layout, matrices)
    return layout


def listed(keys: Iterable[str]) -> str:
    """The first few keys in a line, and how many more there are."""
    names = sorted(keys)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def module_part(name: str) -> str:
    """A key or table entry without the name of the matrix, which is the file's name for the layer."""
    return _MATRIX.sub("", name)


@cache
def _table() -> dict[str, list[PatternMatch]]:
    """mflux's entries by the key that they match, with `{block}` in place of a number.

    ComfyUI drops a final `.weight`; mflux accepts both spellings of every entry, and so does this table.
    """
    table: dict[str, list[PatternMatch]] = {}
    for entry in LoRALoader._build_pattern_mappings(FluxLoRAMapping.get_mapping()):
        for spelling in {entry.source_pattern, entry.source_pattern.removesuffix(".weight")}:
            table.setdefault(spelling, []).append(entry)
    return table


def _place(layout: LoraLayout, key: str) -> None:
    targets = dict.fromkeys(_targets(key))
    if not targets:
        layout.unmatched.append(key)
    for layer, matrix, pattern in targets:
        other = layout.layers.setdefault(layer, {}).setdefault(matrix, key)
        if other != key:
            raise LoraError(f"{layout.path}: {other} and {key} are both for {layer}. The file is damaged.")
        layout.modules.add(module_part(pattern))
        layers = layout.layers_of.setdefault(key, [])
        if layer not in layers:
            layers.append(layer)


def _targets(key: str) -> Iterator[tuple[str, str, str]]:
    """Layer, matrix and table entry for each layer that the key belongs to."""
    for entry in _table().get(key, ()):
        yield entry.target_path, entry.matrix_name, entry.source_pattern
    for number in re.finditer(r"\d+", key):
        pattern = key[: number.start()] + _BLOCK + key[number.end() :]
        for entry in _table().get(pattern, ()):
            layer = entry.target_path.replace(_BLOCK, str(int(number[0])))
            yield layer, entry.matrix_name, entry.source_pattern


def _check_matched(layout: LoraLayout, skip_unmatched: bool) -> None:
    if not layout.layers:
        raise LoraError(
            f"{layout.path} is not a LoRA for FLUX.1: no layer of FLUX's transformer matches its keys "
            f"({listed(layout.tensors) or 'it has none'}). Use one that was made for FLUX.1."
        )
    if layout.unmatched and not skip_unmatched:
        raise LoraError(
            f"{layout.path}: {len(layout.unmatched)} of {len(layout.tensors)} tensors match no layer of "
            f"FLUX's transformer: {listed(layout.unmatched)}. Use another file, or set "
            'unmatched to "skip" to apply the rest without them.'
        )


def _check_adapter(layout: LoraLayout, matrices: Mapping[str, str]) -> None:
    if any(name.startswith("lokr") for name in matrices):
        return  # Its factors may come in several forms; mflux checks them.
    if "dora_scale" in matrices:
        raise LoraError(f"{layout.path}: {matrices['dora_scale']} makes it a DoRA, which mflux cannot apply.")
    for found, other in ((_DOWN, _UP), (_UP, _DOWN)):
        if found in matrices and other not in matrices:
            raise LoraError(f"{layout.path}: {matrices[found]} has no counterpart. The file is damaged.")
    if _DOWN not in matrices:
        raise LoraError(f"{layout.path}: {listed(matrices.values())} has no matrices. The file is damaged.")
    down, up = (layout.tensors[matrices[name]].shape for name in (_DOWN, _UP))
    if len(down) != 2 or len(up) != 2 or down[0] != up[1]:
        raise LoraError(
            f"{layout.path}: {matrices[_DOWN]} {down} and {matrices[_UP]} {up} differ in rank; the first "
            "must have as many rows as the second has columns. The file is damaged."
        )
