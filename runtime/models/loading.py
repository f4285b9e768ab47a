"""Read one component of a checkpoint into memory.

A checkpoint has the published tensor names of diffusers and transformers, or is what mflux-save wrote. Each
component is read alone.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from run_graph.runtime.device import compute_dtype
from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models import inspection
from run_graph.runtime.models.architecture import count, layers_of, name_in_memory
from run_graph.runtime.models.assembly import (
    GROUP_SIZE,
    assemble,
    can_quantise,
    check_names,
    check_shapes,
    leaves,
    named,
)
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.networks.cpu import use_numpy_linears

logger = logging.getLogger(__name__)

Tensors = dict[str, mx.array]

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
_GUIDANCE = "guidance_embedder"
_POSITION_BIAS = "t5_blocks.{}.attention.SelfAttention.relative_attention_bias.weight"


@dataclass(frozen=True)
class LoadedComponent:
    """A network in memory.

    `module` is a tree of layers with mflux's names; `config` is the component's config.json (`{}` if mflux
    saved the model); `bits` is its quantisation; `nbytes` is the size of its weights.
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
    place = checkpoint.locate_complete(component) / component
    config = inspection.read_json(place / "config.json")
    stored = inspection.saved_bits(place)
    module = _assemble(place, component, config, stored, checkpoint.without_guidance)
    if stored is None and quantize is not None:
        nn.quantize(module, group_size=GROUP_SIZE, bits=quantize, class_predicate=can_quantise)
    elif stored is not None and quantize not in (None, stored):
        logger.warning("%s is stored with %d bits; quantize=%d is ignored.", place, stored, quantize)
    use_numpy_linears(module)
    return LoadedComponent(module, config, stored or quantize, _materialise(module))


def _assemble(
    place: Path,
    component: Component,
    config: dict[str, Any],
    stored: int | None,
    without_guidance: bool = False,
) -> Any:
    """The module with its weights, all still lazy.

    The tensors are local to this function. If they lived longer, the unquantised weights would stay in memory
    beside the quantised ones.
    """
    tensors = _in_memory(_stored(place), component, inspection.is_saved_by_mflux(place))
    if without_guidance:
        tensors = {name: array for name, array in tensors.items() if _GUIDANCE not in name}
    _check_block_counts(component, config, tensors, str(place))
    layers = layers_of(component, tensors)
    check_names(layers, tensors, str(place))
    _check_numbers(tensors, str(place))
    check_shapes(layers, tensors, str(place))
    dtype = compute_dtype()
    module = assemble(layers, {name: _as_dtype(array, dtype) for name, array in tensors.items()}, stored)
    if component == "transformer" and _GUIDANCE not in module.time_text_embed:
        module.time_text_embed.guidance_embedder = None
    module.freeze()
    return module


def _stored(place: Path) -> Tensors:
    """The tensors of all the component's files, lazy."""
    tensors: Tensors = {}
    for path in inspection.weight_files(place):
        try:
            found: Any = mx.load(str(path), format="safetensors")
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        if twice := tensors.keys() & found:
            raise CheckpointError(
                f"{place} has {min(twice)} in {path.name} and in another file. Remove the file that does not "
                "belong to the model."
            )
        tensors |= found
    return tensors


def _in_memory(stored: Tensors, component: Component, saved_by_mflux: bool) -> Tensors:
    """The tensors that the component uses, with their names and layouts in memory."""
    tensors = {}
    for name, array in stored.items():
        if (own := name_in_memory(component, name)) is not None:
            # MLX's convolutions are (outputs, height, width, inputs), published ones inputs first.
            published = array.ndim == 4 and not saved_by_mflux
            tensors[own] = array.transpose(0, 2, 3, 1) if published else array
    if component == "transformer":
        _add_output_bias(tensors)
    elif component == "text_encoder_2":
        _share_position_bias(tensors)
    return tensors


def _add_output_bias(tensors: Tensors) -> None:
    """mflux 0.16 to 0.21 saved models without this bias and computed with zeros."""
    weight = tensors.get("norm_out.linear.weight")
    if weight is not None:
        tensors.setdefault("norm_out.linear.bias", mx.zeros(weight.shape[0]))


def _share_position_bias(tensors: Tensors) -> None:
    """Published in the first block only; mflux has it in each."""
    if (bias := tensors.get(_POSITION_BIAS.format(0))) is not None:
        for index in range(count(tensors, "t5_blocks")):
            tensors.setdefault(_POSITION_BIAS.format(index), bias)


def _as_dtype(array: mx.array, dtype: mx.Dtype) -> mx.array:
    return array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array


def _check_numbers(tensors: Tensors, place: str) -> None:
    """Refuse integers that are not the packed weights of a quantised layer: they would be read as numbers."""
    for name, array in tensors.items():
        packed = f"{name.removesuffix('weight')}scales" in tensors
        if not packed and not mx.issubdtype(array.dtype, mx.floating):
            raise CheckpointError(
                f"{place}: {name} is stored as {str(array.dtype).removeprefix('mlx.core.')}, a format of "
                "another program. Use a model in float32, float16 or bfloat16, or one that mflux-save made."
            )


def _check_block_counts(component: Component, config: dict[str, Any], tensors: Tensors, place: str) -> None:
    for key, path in _BLOCK_COUNTS.get(component, {}).items():
        found = count(tensors, path)
        if key in config and config[key] != found:
            raise CheckpointError(
                f"{place} has {found} blocks where its config.json says {key} = {config[key]}. "
                "The checkpoint is incomplete; download it again."
            )


def _materialise(module: Any) -> int:
    """Read the weights, one layer at a time, so that at most one is in memory unquantised.

    Returns their size in bytes.
    """
    for _, layer in leaves(module):
        mx.eval(layer.parameters())
    mx.eval(module.parameters())
    return sum(array.nbytes for array in named(module.parameters()).values())
