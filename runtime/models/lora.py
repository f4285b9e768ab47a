"""Apply LoRAs to FLUX's transformer without changing its weights.

mflux's LoRA layers add an update to the output of a linear layer. They go into a copy of the module tree that
shares all other arrays with the base network. So the base and the adapted network can be used side by side,
and the base weights are in memory only once, quantised or not.
"""

import contextlib
import copy
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
from mflux.models.common.lora.mapping.lora_loader import LoRALoader
from mflux.models.common.lora.mapping.lora_mapping import LoRATarget
from mflux.models.flux.weights.flux_lora_mapping import FluxLoRAMapping

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.assembly import leaves, named
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.lora_matching import LoraLayout, examine, listed, module_part

logger = logging.getLogger(__name__)

_FIX = "Use a LoRA that was made for this model."
_FUSED = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "proj_mlp",
)  # In this order the rows of a single block's `linear1`.


class _Linear(NamedTuple):
    """Outputs and inputs of a linear layer, and its bits per weight if quantised."""

    outputs: int
    inputs: int
    bits: int | None


Linears = dict[str, _Linear]


def adapted(module: Any, loras: Sequence[Lora]) -> tuple[Any, int]:
    """A network that computes like `module` with each LoRA's scale * alpha / rank * (B A) added.

    Parameters
    ----------
    module
        mflux's `Transformer` with its weights; it is not changed.
    loras
        Applied one after another; their updates add up.

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
    for lora in loras:
        layout = examine(lora.path, lora.skip_unmatched)
        _check_fits(layout, linears)
        _apply(network, lora, layout, linears)
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


def _apply(network: Any, lora: Lora, layout: LoraLayout, linears: Linears) -> None:
    """Let mflux replace the layers; its output goes to the log."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            LoRALoader.load_and_apply_lora(
                _mapping(layout, linears), network, [str(lora.path)], [lora.scale], bake_lora=False
            )
    except (ValueError, OSError) as error:
        raise LoraError(f"{lora.path} cannot be applied: {error}") from error
    finally:
        logger.debug(output.getvalue())


def _mapping(layout: LoraLayout, linears: Linears) -> list[LoRATarget]:
    """The entries of mflux's table that the file uses, adjusted to this network's widths.

    mflux tries every entry on every key, which takes seconds with the whole table. It also splits the fused
    matrices of single blocks at the rows of FLUX.1's published size, whatever the network's size is.
    """
    targets = []
    for target in FluxLoRAMapping.get_mapping():
        used: dict[str, Any] = {
            name: [pattern for pattern in patterns if module_part(pattern) in layout.modules]
            for name, patterns in vars(target).items()
            if name.startswith("possible_")
        }
        if any(used.values()):
            block, _, part = target.model_path.partition(".{block}.")
            if target.up_transform is not None and block == "single_transformer_blocks":
                used["up_transform"] = _rows_of(part, linears)
            targets.append(replace(target, **used))
    return targets


def _rows_of(part: str, linears: Linears) -> Callable[[mx.array], mx.array]:
    """A function that takes the rows for `part` from a single block's fused matrix."""
    rows = [linears[f"single_transformer_blocks.0.{name}"].outputs for name in _FUSED]
    start = sum(rows[: _FUSED.index(part)])
    stop = start + rows[_FUSED.index(part)]
    return lambda matrix: matrix[start:stop]


def _linears(module: Any) -> Linears:
    """The sizes of every linear layer by its name, quantised or not."""
    found = {}
    for name, layer in leaves(module):
        if isinstance(layer, (nn.Linear, nn.QuantizedLinear)):
            rows, columns = layer.weight.shape
            bits = getattr(layer, "bits", None)
            found[name] = _Linear(rows, columns * 32 // bits if bits else columns, bits)
    return found


def _check_fits(layout: LoraLayout, linears: Linears) -> None:
    if absent := [key for layer in layout.layers.keys() - linears for key in layout.layers[layer].values()]:
        raise LoraError(
            f"{layout.path} is for a larger model: this one has no layers for {listed(absent)}. {_FIX}"
        )
    for layer, matrices in layout.layers.items():
        if "lora_A" in matrices:
            rows = sum(linears[part].outputs for part in layout.layers_of[matrices["lora_B"]])
            _check_shape(layout, matrices["lora_A"], 1, linears[layer].inputs)
            _check_shape(layout, matrices["lora_B"], 0, rows)
        else:
            _check_lokr(layout, matrices, linears[layer])


def _check_shape(layout: LoraLayout, key: str, axis: int, size: int) -> None:
    shape = layout.tensors[key].shape
    if shape[axis] != size:
        raise LoraError(
            f"{layout.path}: {key} has shape {shape}, but this model's layer needs "
            f"{size} {('rows', 'columns')[axis]}. {_FIX}"
        )


def _check_lokr(layout: LoraLayout, matrices: Mapping[str, str], linear: _Linear) -> None:
    """Refuse what mflux would refuse without naming the keys, and what it cannot do."""
    if linear.bits is not None and 32 % linear.bits:
        # mflux 0.24 takes the inputs of a quantised layer to be words * (32 // bits).
        raise LoraError(
            f"{layout.path} is a LoKr ({listed(matrices.values())}), which mflux cannot apply to weights of "
            f"{linear.bits} bits. Set quantize to none, 4 or 8."
        )
    first, second = (_factor(layout, matrices, name) for name in ("lokr_w1", "lokr_w2"))
    if first is None or second is None:
        raise LoraError(f"{layout.path}: {listed(matrices.values())} lacks a factor. The file is damaged.")
    if (first[0] * second[0], first[1] * second[1]) != (linear.outputs, linear.inputs):
        raise LoraError(
            f"{layout.path}: {listed(matrices.values())} multiply to {first[0] * second[0]} x "
            f"{first[1] * second[1]}, but this model's layer is {linear.outputs} x {linear.inputs}. {_FIX}"
        )


def _factor(layout: LoraLayout, matrices: Mapping[str, str], name: str) -> tuple[int, int] | None:
    """The shape of a Kronecker factor, which may be stored as the product of two matrices."""
    ends = (name, name) if name in matrices else (f"{name}_a", f"{name}_b")
    if not matrices.keys() >= set(ends):
        return None
    left, right = (layout.tensors[matrices[end]].shape for end in ends)
    return (left[0], right[1]) if len(left) == len(right) == 2 else None
