"""Apply LoRAs to FLUX's networks without changing their weights.

mflux's LoRA layers add an update to the output of a linear layer. They go into a copy of the module tree that
shares all other arrays with the base network. So the base and the adapted network can be used side by side,
and the base weights are in memory only once, quantised or not.
"""

import copy
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
from mflux.models.common.lora.layer.fused_linear_lora_layer import FusedLoRALinear
from mflux.models.common.lora.layer.linear_lokr_layer import LoKrLinear
from mflux.models.common.lora.layer.linear_lora_layer import LoRALinear
from mflux.models.common.lora.mapping.lokr_factors import rebuild_lokr_factors
from mflux.models.common.lora.mapping.peft_lora_metadata import PeftLoRAMetadata

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.assembly import leaves, named
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.inspection import read_json
from run_graph.runtime.models.lora_files import Lora, peft_config
from run_graph.runtime.models.lora_matching import Adapter, LoraLayout, examine, listed
from run_graph.runtime.models.lora_names import ALPHA, DORA, DOWN, UP

logger = logging.getLogger(__name__)

_FIX = "Use a LoRA that was made for this model."


class _Linear(NamedTuple):
    """A linear layer: outputs and inputs, and bits per weight if quantised."""

    layer: Any
    outputs: int
    inputs: int
    bits: int | None


Linears = dict[str, _Linear]


class _File(NamedTuple):
    """A LoRA's tensors, lazy, and the settings that PEFT stores beside them, by component."""

    tensors: dict[str, mx.array]
    configs: dict[str, dict[str, Any]]


def adapted(module: Any, loras: Sequence[Lora], component: Component = "transformer") -> tuple[Any, int]:
    """A network that computes like `module` with each LoRA's scale * alpha / rank * (B A) added.

    Parameters
    ----------
    module
        A network with its weights; it is not changed.
    loras
        Their updates add up.
    component
        Which of FLUX's networks it is.

    Returns
    -------
    network, nbytes
        The network, which shares the weights of `module`, and the size in bytes of its own arrays.

    Raises
    ------
    LoraError
        If a LoRA does not fit the network; the message names the keys.
    """
    network, linears = _branch(module), _linears(module)
    updates: dict[str, list[Any]] = {}
    for lora in loras:
        layout = examine(lora.path, lora.skip_unmatched, lora.components)
        adapters = layout.of(component)
        _check_fits(layout, adapters, linears)
        logger.debug("%s: %d layers of the file, scale %g", lora.path, len(adapters), lora.scale)
        file = _read(lora.path)
        for adapter in adapters:
            for layer, update in _updates(adapter, file, lora.scale, linears):
                updates.setdefault(layer, []).append(update)
    for layer, added in updates.items():
        one = added[0] if len(added) == 1 else FusedLoRALinear(linears[layer].layer, added)
        _replace(network, layer, one)
    shared = {id(array) for array in named(module.parameters()).values()}
    own = {id(array): array for array in named(network.parameters()).values() if id(array) not in shared}
    mx.eval(list(own.values()))
    network.freeze()
    return network, sum(array.nbytes for array in own.values())


def _branch(node: Any) -> Any:
    """A copy of the tree of modules that shares the leaf layers, which hold the weights."""
    if isinstance(node, list):
        return [_branch(child) for child in node]
    if not isinstance(node, nn.Module) or not cast(Any, node).children():
        return node
    branch = copy.copy(node)
    for name, child in node.items():
        branch[name] = _branch(child)
    return branch


def _replace(network: Any, path: str, layer: Any) -> None:
    *parents, name = path.split(".")
    for step in parents:
        network = network[int(step) if isinstance(network, list) else step]
    network[int(name) if isinstance(network, list) else name] = layer


def _read(path: Path) -> _File:
    try:
        tensors, metadata = cast(Any, mx.load(str(path), format="safetensors", return_metadata=True))
        configs = PeftLoRAMetadata.configs(metadata)
        if (beside := peft_config(path)) is not None:
            configs = configs or {"": read_json(beside)}
    except (OSError, RuntimeError, ValueError) as error:
        raise LoraError(f"{path} cannot be applied: {error}") from error
    return _File(tensors, {name: config for name, config in configs.items() if "lora_alpha" in config})


def _updates(adapter: Adapter, file: _File, scale: float, linears: Linears) -> Iterator[tuple[str, Any]]:
    """What an adapter adds to each of its layers."""
    matrices = {name: file.tensors[key] for name, key in adapter.matrices.items()}
    rows = _rows(adapter, linears)
    if adapter.is_lokr:
        first, second, strength = rebuild_lokr_factors(matrices)
        for layer, (start, stop) in rows.items():
            part = first if len(rows) == 1 else first[start // second.shape[0] : stop // second.shape[0]]
            dora = matrices[DORA].reshape(-1)[start:stop] if DORA in matrices else None
            yield layer, LoKrLinear.from_linear(linears[layer].layer, part, second, dora, scale * strength)
        return
    down, up = matrices[DOWN], matrices[UP] * _strength(adapter, matrices, file)
    if adapter.layers.halves_swapped:
        up = mx.concatenate([up[len(up) // 2 :], up[: len(up) // 2]])
    for layer, (start, stop) in rows.items():
        update = LoRALinear.from_linear(linears[layer].layer, r=down.shape[0], scale=scale)
        update.lora_A, update.lora_B = down.T, up[start:stop].T
        yield layer, update


def _strength(adapter: Adapter, matrices: Mapping[str, mx.array], file: _File) -> float:
    """alpha / rank, where alpha is the layer's own or that of PEFT's settings; without either, 1."""
    rank = matrices[DOWN].shape[0]
    if ALPHA in matrices:
        return float(cast(Any, matrices[ALPHA].item())) / rank
    alpha = PeftLoRAMetadata.alpha(adapter.matrices[DOWN], file.configs, rank)
    return 1.0 if alpha is None else alpha / rank


def _rows(adapter: Adapter, linears: Linears) -> dict[str, tuple[int, int]]:
    """The first row of each layer in the matrix that the file fuses, and the first row behind it."""
    ends = itertools.accumulate(linears[layer].outputs for layer in adapter.layers.names)
    return {
        layer: (end - linears[layer].outputs, end)
        for layer, end in zip(adapter.layers.names, ends, strict=True)
    }


def _linears(module: Any) -> Linears:
    """Every linear layer by its name, quantised or not."""
    found = {}
    for name, layer in leaves(module):
        if isinstance(layer, (nn.Linear, nn.QuantizedLinear)):
            rows, columns = layer.weight.shape
            bits = getattr(layer, "bits", None)
            found[name] = _Linear(layer, rows, columns * 32 // bits if bits else columns, bits)
    return found


def _check_fits(layout: LoraLayout, adapters: Sequence[Adapter], linears: Linears) -> None:
    absent = [
        key
        for adapter in adapters
        if not linears.keys() >= set(adapter.layers.names)
        for key in adapter.matrices.values()
    ]
    if absent:
        raise LoraError(
            f"{layout.path} is for a larger model: this one has no layers for {listed(absent)}. {_FIX}"
        )
    for adapter in adapters:
        if adapter.is_lokr:
            _check_lokr(layout, adapter, linears)
        else:
            inputs = linears[adapter.layers.names[0]].inputs
            _check_shape(layout, adapter.matrices[DOWN], 1, inputs)
            _check_shape(layout, adapter.matrices[UP], 0, _outputs(adapter, linears))


def _outputs(adapter: Adapter, linears: Linears) -> int:
    return sum(linears[layer].outputs for layer in adapter.layers.names)


def _check_shape(layout: LoraLayout, key: str, axis: int, size: int) -> None:
    shape = layout.tensors[key].shape
    if shape[axis] != size:
        raise LoraError(
            f"{layout.path}: {key} has shape {shape}, but this model's layer needs "
            f"{size} {('rows', 'columns')[axis]}. {_FIX}"
        )


def _check_lokr(layout: LoraLayout, adapter: Adapter, linears: Linears) -> None:
    """Refuse what mflux would refuse without naming the keys, and what it cannot do."""
    keys, linear = listed(adapter.matrices.values()), linears[adapter.layers.names[0]]
    if linear.bits is not None and 32 % linear.bits:
        # mflux 0.24 takes the inputs of a quantised layer to be words * (32 // bits).
        raise LoraError(
            f"{layout.path} is a LoKr ({keys}), which mflux cannot apply to weights of {linear.bits} bits. "
            "Set quantize to none, 4 or 8."
        )
    first, second = (_factor(layout, adapter.matrices, name) for name in ("lokr_w1", "lokr_w2"))
    if first is None or second is None:
        raise LoraError(f"{layout.path}: {keys} lacks a factor. The file is damaged.")
    outputs, inputs = _outputs(adapter, linears), linear.inputs
    if (first[0] * second[0], first[1] * second[1]) != (outputs, inputs):
        raise LoraError(
            f"{layout.path}: {keys} multiply to {first[0] * second[0]} x {first[1] * second[1]}, but this "
            f"model's layer is {outputs} x {inputs}. {_FIX}"
        )
    cut = any(start % second[0] for start, _ in _rows(adapter, linears).values())
    if cut or adapter.layers.halves_swapped:
        raise LoraError(
            f"{layout.path} is a LoKr ({keys}) of layers that the original FLUX code fuses, which cannot be "
            "taken apart. Use a LoRA, or a LoKr that was made with diffusers' layers."
        )


def _factor(layout: LoraLayout, matrices: Mapping[str, str], name: str) -> tuple[int, int] | None:
    """The shape of a Kronecker factor, which may be stored as the product of two matrices."""
    ends = (name, name) if name in matrices else (f"{name}_a", f"{name}_b")
    if not matrices.keys() >= set(ends):
        return None
    left, right = (layout.tensors[matrices[end]].shape for end in ends)
    return (left[0], right[1]) if len(left) == len(right) == 2 else None
