"""Whether the adapters of a LoRA fit the layers of a network in memory."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import mlx.nn as nn

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.assembly import leaves
from run_graph.runtime.models.lora_adapters import LOHA, Adapter, factor_shape
from run_graph.runtime.models.lora_families import FLUX_WIDTH
from run_graph.runtime.models.lora_matching import LoraLayout, listed
from run_graph.runtime.models.lora_names import BIAS_DIFF, DIFF, DORA, DOWN, REPLACED, UP, UP_BIAS

_FIX = "Use a LoRA that was made for this model."


class Target(NamedTuple):
    """A layer that a LoRA can change: a linear one, or a normalisation, whose `inputs` are 0."""

    layer: Any
    outputs: int
    inputs: int


Targets = dict[str, Target]
Rows = dict[str, list[slice]]


def targets(module: Any) -> Targets:
    """Every layer of a network that a LoRA can change, by its name."""
    found = {}
    for name, layer in leaves(module):
        if isinstance(layer, nn.QuantizedLinear):
            found[name] = Target(layer, layer.weight.shape[0], layer.scales.shape[1] * layer.group_size)
        elif isinstance(layer, nn.Linear):
            found[name] = Target(layer, *layer.weight.shape)
        elif not isinstance(layer, nn.Embedding) and "weight" in layer and layer.weight.ndim == 1:
            found[name] = Target(layer, layer.weight.shape[0], 0)
    return found


def rows_in(adapter: Adapter, found: Targets) -> Rows:
    """For each layer, its rows in the matrix that the file fuses, in the order in which it has them."""
    ends = list(accumulate(found[layer].outputs for layer in adapter.layers.names))
    starts = [0, *ends]
    rows = {
        layer: [slice(start, end)]
        for layer, start, end in zip(adapter.layers.names, starts, ends, strict=False)
    }
    if adapter.layers.halves_swapped:
        (layer,) = rows
        rows[layer] = [slice(ends[0] // 2, ends[0]), slice(0, ends[0] // 2)]
    return rows


def check_fits(layout: LoraLayout, adapters: Sequence[Adapter], found: Targets) -> None:
    """Raise LoraError unless the network has every layer of the adapters, in their sizes."""
    absent = [
        key
        for adapter in adapters
        if not found.keys() >= set(adapter.layers.names)
        for key in adapter.matrices.values()
    ]
    if absent:
        raise LoraError(
            f"{layout.path} is for a larger model: this one has no layers for {listed(absent)}. {_FIX}"
        )
    for adapter in adapters:
        _check_sizes(layout, adapter, found)


def _check_sizes(layout: LoraLayout, adapter: Adapter, found: Targets) -> None:
    outputs = sum(found[layer].outputs for layer in adapter.layers.names)
    inputs = found[adapter.layers.names[0]].inputs
    whole = (outputs, inputs) if inputs else (outputs,)
    shapes = {
        DOWN: (None, inputs),
        UP: (outputs, None),
        UP_BIAS: (outputs,),
        DIFF: whole,
        REPLACED: whole,
        BIAS_DIFF: (outputs,),
        **dict.fromkeys(LOHA[::2], (outputs, None)),
        **dict.fromkeys(LOHA[1::2], (None, inputs)),
    }
    for name, key in adapter.matrices.items():
        if name in shapes:
            _check_shape(layout, key, shapes[name])
    if BIAS_DIFF in adapter.matrices and not inputs and "bias" not in found[adapter.layers.names[0]].layer:
        raise LoraError(
            f"{layout.path}: {adapter.matrices[BIAS_DIFF]} is for a normalisation that has no offset. {_FIX}"
        )
    if "LoKr" in adapter.forms:
        _check_product(layout, adapter, outputs, inputs)
    if DORA in adapter.matrices:
        _check_magnitudes(layout, adapter.matrices[DORA], outputs, inputs)


def _check_shape(layout: LoraLayout, key: str, expected: tuple[int | None, ...]) -> None:
    shape = layout.tensors[key].shape
    if len(shape) != len(expected):
        raise LoraError(
            f"{layout.path}: {key} has shape {shape}, but this model's layer needs {len(expected)} "
            f"dimensions. {_FIX}"
        )
    for size, needed, what in zip(shape, expected, ("rows", "columns"), strict=False):
        if needed is not None and size != needed:
            raise LoraError(
                f"{layout.path}: {key} has shape {shape}, but this model's layer needs "
                f"{needed} {what}. {_fix(size)}"
            )


def _fix(size: int) -> str:
    """What to do; a LoRA for FLUX.1's own width says that it is one."""
    if size == FLUX_WIDTH:
        return f"The LoRA is for FLUX.1 dev or schnell, which are {FLUX_WIDTH} wide; use it with one of them."
    return _FIX


def _check_product(layout: LoraLayout, adapter: Adapter, outputs: int, inputs: int) -> None:
    first, second = (
        factor_shape(adapter.matrices, name, layout.tensors, layout.path) for name in ("lokr_w1", "lokr_w2")
    )
    product = (first[0] * second[0], first[1] * second[1])
    if product != (outputs, inputs):
        raise LoraError(
            f"{layout.path}: {listed(adapter.matrices.values())} multiply to {product[0]} x {product[1]}, "
            f"but this model's layer is {outputs} x {inputs}. {_FIX}"
        )


def _check_magnitudes(layout: LoraLayout, key: str, outputs: int, inputs: int) -> None:
    """DoRA's magnitudes are (outputs,) or (outputs, 1), or (1, inputs)."""
    shape = layout.tensors[key].shape
    if shape not in ((outputs,), (outputs, 1), (1, inputs)):
        raise LoraError(
            f"{layout.path}: {key} has shape {shape}, but this model's layer needs {outputs} magnitudes. "
            f"{_FIX}"
        )
