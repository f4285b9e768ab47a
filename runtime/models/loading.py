"""Read one component of a checkpoint into mflux's module.

mflux supplies the module classes, the mapping from published names to its own, the readers of its
own saved format, and the rule for which layers are quantised. Each component is read alone. Importing
this module imports mflux, which takes about a second, so only stages that compute import it.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mflux.models.common.weights.loading.weight_definition import ComponentDefinition
from mflux.models.common.weights.loading.weight_loader import WeightLoader
from mflux.models.common.weights.mapping.weight_mapper import WeightMapper
from mlx.utils import tree_map

from run_graph.runtime.device import compute_dtype
from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models import inspection
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.fitting import (
    check_names,
    check_shapes,
    layers,
    named,
    shape_for_packed,
    trim_blocks,
)
from run_graph.runtime.models.mflux_modules import (
    GROUP_SIZE,
    Weights,
    adjusted,
    build,
    definition,
    quantisation_rule,
)
from run_graph.runtime.networks.cpu import use_numpy_linears

logger = logging.getLogger(__name__)

# The keys of each component's config.json that give the lengths of its lists of blocks.
_BLOCK_COUNTS: dict[str, dict[str, str]] = {
    "transformer": {
        "num_layers": "transformer_blocks",
        "num_single_layers": "single_transformer_blocks",
    },
    "text_encoder": {"num_hidden_layers": "text_model.encoder.layers"},
    "text_encoder_2": {"num_layers": "t5_blocks"},
    "image_encoder": {"num_hidden_layers": "encoder.layers"},
}


@dataclass(frozen=True)
class LoadedComponent:
    """A network in memory.

    `module` is mflux's, with its weights; `config` is the component's config.json (`{}` if mflux saved
    the model); `bits` is its quantisation; `nbytes` is the size of its weights.
    """

    module: Any
    config: dict[str, Any]
    bits: int | None
    nbytes: int


def load_component(
    checkpoint: Checkpoint, component: Component, quantize: int | None = None
) -> LoadedComponent:
    """Read one component and nothing else.

    Weights have the type `compute_dtype()`, or are quantised to `quantize` bits (3, 4, 5, 6, 8). A
    checkpoint that is stored quantised keeps its precision.

    Raises
    ------
    CheckpointError
        If files are missing, damaged or inconsistent; the message names them.
    DownloadError
        If they cannot be downloaded.
    """
    folder = checkpoint.locate_complete(component)
    place = folder / component
    config = inspection.read_json(place / "config.json")
    stored = inspection.saved_bits(place)
    module = _assemble(folder, component, config, stored)
    if stored is None and quantize is not None:
        nn.quantize(
            module, group_size=GROUP_SIZE, bits=quantize, class_predicate=quantisation_rule(component)
        )
    elif stored is not None and quantize not in (None, stored):
        logger.warning("%s is stored with %d bits; quantize=%d is ignored.", place, stored, quantize)
    use_numpy_linears(module)
    return LoadedComponent(module, config, stored or quantize, _materialise(module))


def _assemble(folder: Path, component: Component, config: dict[str, Any], stored: int | None) -> Any:
    """The module with its weights, all still lazy.

    The tree of weights is local to this function. If it lived longer, the unquantised weights would stay
    in memory beside the quantised ones.
    """
    place = folder / component
    weights = _read(folder, component)
    module = build(component, weights)
    trim_blocks(module, weights)
    _check_block_counts(component, config, weights, str(place))
    if stored is not None:
        shape_for_packed(module, weights, stored)
    check_names(module, weights, str(place))
    check_shapes(module, weights, str(place))
    module.update(weights)
    module.freeze()
    return module


def _read(folder: Path, component: Component) -> Weights:
    """The weights as a tree with mflux's names, floating-point ones converted to `compute_dtype()`."""
    dtype = compute_dtype()
    source = replace(definition(component), precision=dtype)
    saved = inspection.is_saved_by_mflux(folder / component)
    if source.mapping_getter is not None and not saved:
        _check_published_names(source, folder / component)
    try:
        weights = WeightLoader.load_single_local(source, folder).components[source.name]
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder / component} cannot be read: {error}") from error
    if source.weight_subkey is not None:
        weights = weights.get(source.weight_subkey, weights)
    return adjusted(component, tree_map(lambda array: _as_dtype(array, dtype), weights))


def _as_dtype(array: mx.array, dtype: mx.Dtype) -> mx.array:
    return array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array


def _check_published_names(source: ComponentDefinition, place: Path) -> None:
    names = dict.fromkeys(inspection.tensors(place))
    mapping = source.mapping_getter()
    missing = WeightMapper.missing_required_names(names, mapping, num_blocks=source.num_blocks)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CheckpointError(
            f"{place} lacks {', '.join(missing[:3])}{more}. The checkpoint is incomplete or made for "
            "another program; download it again, or use a FLUX.1 model in diffusers' layout."
        )


def _check_block_counts(component: Component, config: dict[str, Any], weights: Weights, place: str) -> None:
    for key, path in _BLOCK_COUNTS.get(component, {}).items():
        found: Any = weights
        for part in path.split("."):
            found = found.get(part, {})
        if key in config and config[key] != len(found):
            raise CheckpointError(
                f"{place} has {len(found)} blocks where its config.json says {key} = {config[key]}. "
                "The checkpoint is incomplete; download it again."
            )


def _materialise(module: Any) -> int:
    """Read the weights, one layer at a time, so that at most one is in memory unquantised.

    Returns their size in bytes.
    """
    for _, layer in layers(module):
        mx.eval(layer.parameters())
    mx.eval(module.parameters())
    return sum(array.nbytes for array in named(module.parameters()).values())
