"""Apply LoRAs to FLUX's networks without changing their weights.

The changed layers (:mod:`runtime.networks.adapted`) go into a copy of the module tree that shares all other
arrays with the base network. So the base and the adapted network can be used side by side, and the base
weights are in memory only once, quantised or not.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
from mflux.models.common.lora.mapping.peft_lora_metadata import PeftLoRAMetadata

from run_graph.runtime.errors import CheckpointError, LoraError
from run_graph.runtime.models.assembly import named
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.inspection import read_header, read_json
from run_graph.runtime.models.layouts.decoding import decoded
from run_graph.runtime.models.layouts.stored import read_tensors
from run_graph.runtime.models.lora_adapters import Adapter
from run_graph.runtime.models.lora_application import apply
from run_graph.runtime.models.lora_files import Lora, peft_config
from run_graph.runtime.models.lora_fit import Targets, check_fits, rows_in, targets
from run_graph.runtime.models.lora_matching import examine, listed
from run_graph.runtime.models.lora_updates import LinearUpdate, NormUpdate, Update

logger = logging.getLogger(__name__)


class _File(NamedTuple):
    """A LoRA's tensors, lazy, and the settings that PEFT stores beside them, by component."""

    tensors: dict[str, mx.array]
    configs: dict[str, dict[str, Any]]


def adapted(
    module: Any,
    loras: Sequence[Lora],
    component: Component = "transformer",
    part: Callable[[str], bool] | None = None,
) -> tuple[Any, int]:
    """A network that computes like `module` with the weights that the LoRAs make of its own.

    Parameters
    ----------
    module
        A network with its weights; it is not changed.
    loras
        They are applied in this order. The updates of all but DoRAs add up, in any order.
    component
        Which of FLUX's networks it is.
    part
        Which of its layers are changed, by their names; updates of others are left out. None: all.

    Returns
    -------
    network, nbytes
        The network, which shares the weights of `module`, and the size in bytes of its own arrays.

    Raises
    ------
    LoraError
        If a LoRA does not fit the network, or holds NaN or infinity; the message names the keys.
    """
    network, found = _branch(module), targets(module)
    updates: dict[str, Update] = {}
    for lora in loras:
        layout = examine(lora.path, lora.skip_unmatched, lora.components)
        adapters = layout.of(component)
        if part is not None:
            adapters = [each for each in adapters if any(map(part, each.layers.names))]
        check_fits(layout, adapters, found)
        logger.debug("%s: %d layers of the file, scale %g", lora.path, len(adapters), lora.scale)
        file = _read(lora.path)
        for adapter in adapters:
            _check_finite(lora.path, adapter, file)
            _begin(updates, adapter, found)
            apply(adapter, file.tensors, file.configs, lora.scale, updates, rows_in(adapter, found))
            for key in adapter.matrices.values():
                del file.tensors[key]
    while updates:  # So that what a layer was made from is let go before the next is made.
        layer, update = updates.popitem()
        made = update.made()
        del update
        mx.eval(made.parameters())
        _replace(network, layer, made)
    shared = {id(array) for array in named(module.parameters()).values()}
    own = {id(array): array for array in named(network.parameters()).values() if id(array) not in shared}
    network.freeze()
    return network, sum(array.nbytes for array in own.values())


def _begin(updates: dict[str, Update], adapter: Adapter, found: Targets) -> None:
    kind = NormUpdate if adapter.layers.is_norm else LinearUpdate
    for name in adapter.layers.names:
        if name not in updates:
            updates[name] = kind(found[name].layer)


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
        tensors = {name: each.take() for name, each in decoded(read_tensors(path), str(path)).items()}
        configs = PeftLoRAMetadata.configs(read_header(path).metadata)
        if (beside := peft_config(path)) is not None:
            configs = configs or {"": _with_alpha(read_json(beside), path)}
    except (CheckpointError, OSError, ValueError) as error:
        raise LoraError(f"{path} cannot be applied: {error}") from error
    return _File(tensors, {name: config for name, config in configs.items() if "lora_alpha" in config})


def _with_alpha(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """PEFT's settings with alpha under the name that it has for LoRAs.

    Versions of PEFT disagree about whether a LoKr's alpha counts, so it has to be one that does not matter.
    """
    kind, alpha = config.get("peft_type"), config.get("alpha")
    if kind == "LOKR" and alpha != config.get("r"):
        raise ValueError(
            f"adapter_config.json says alpha = {alpha}, r = {config.get('r')}; for a LoKr, versions of PEFT "
            "read that differently. Save it with LyCORIS, or with alpha = r"
        )
    return {**config, "lora_alpha": alpha} if kind == "LOHA" else config


def _check_finite(path: Path, adapter: Adapter, file: _File) -> None:
    finite = {key: mx.all(mx.isfinite(file.tensors[key])) for key in adapter.matrices.values()}
    if odd := [key for key, each in finite.items() if not each.item()]:
        raise LoraError(
            f"{path}: {listed(odd)} has NaN or infinity instead of numbers. The file is damaged; download it "
            "again."
        )
