"""Do a network's tensors make up its layers? Told from headers, before anything is read. Imports no mlx."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.architecture import Layer, count, layers_of
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.layouts.decoding import decoded
from run_graph.runtime.models.layouts.in_memory import in_memory
from run_graph.runtime.models.layouts.lazy import LazyTensor, Tensors
from run_graph.runtime.models.sources import Source

SCALES, OFFSETS = "scales", "biases"  # MLX's names for what a quantised weight comes with

_LISTED = 3  # Names that a message gives of a longer list.

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
GUIDANCE = "guidance_embedder"


class Shaped(Protocol):
    """What has a shape: an array, or a tensor that is not read yet."""

    @property
    def shape(self) -> tuple[int, ...]: ...


Shapes = Mapping[str, Shaped]


class Fitted(NamedTuple):
    """A network's layers, and exactly their tensors by their names in memory."""

    layers: list[Layer]
    tensors: Tensors


def fitted(source: Source, stored: Tensors, without_guidance: bool = False) -> Fitted:
    """A network's layers and their tensors, none of them read.

    Parameters
    ----------
    source
    stored
        Its tensors by their names in the file, without a prefix.
    without_guidance
        Whether the guidance embedder is left out.

    Raises
    ------
    CheckpointError
        If tensors are missing, unknown, or do not fit each other; the message names them.
    """
    place = str(source.place)
    tensors = in_memory(decoded(stored, place), source.component, source.layout, place)
    if without_guidance:
        tensors = {name: tensor for name, tensor in tensors.items() if GUIDANCE not in name}
    _check_block_counts(source.component, source.config, tensors, place)
    layers = layers_of(source.component, tensors)
    check_names(layers, tensors, place)
    check_shapes(layers, tensors, place)
    return Fitted(layers, tensors)


def faults_of(source: Source) -> list[str]:
    """What keeps a network from being read, as far as the headers say."""
    if problems := source.faults():
        return problems
    try:
        fitted(source, {name: LazyTensor(t.shape, t.dtype, _never) for name, t in source.tensors().items()})
    except CheckpointError as error:
        return [str(error)]
    return []


def _never() -> Any:
    raise AssertionError("headers say nothing of values")


def check_names(layers: Iterable[Layer], tensors: Shapes, place: str) -> None:
    """Raise CheckpointError unless the tensors are exactly those of the layers."""
    wanted: dict[str, None] = {}
    for layer in layers:
        names = ["weight", "bias"] if layer.bias else ["weight"]
        if f"{layer.path}.{SCALES}" in tensors:
            names += [SCALES, OFFSETS]
        wanted |= dict.fromkeys(f"{layer.path}.{name}" for name in names)
    if missing := [name for name in wanted if name not in tensors]:
        raise CheckpointError(
            f"{place} lacks {_list(missing)}. The checkpoint is incomplete or made for another model; "
            "download it again, or use a FLUX.1 model in diffusers' layout."
        )
    if unknown := sorted(tensors.keys() - wanted.keys()):
        raise CheckpointError(
            f"{place} contains weights that FLUX.1 does not have: {_list(unknown)}. "
            "It was made for another model."
        )


def check_shapes(layers: Collection[Layer], tensors: Shapes, place: str) -> None:
    """Raise CheckpointError if the sizes of the weights contradict each other.

    Each tensor votes on the sizes that its labels stand for; tensors that disagree with the majority are
    wrong. Quantised layers pack their weights and are left out.
    """
    labels = dict(_labels(layers, tensors))
    for name, sizes in labels.items():
        if len(tensors[name].shape) != len(sizes):
            raise CheckpointError(_wrong_shape(place, name, tensors[name], f"{len(sizes)} dimensions"))
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for name, sizes in labels.items():
        for (factor, label), size in zip(map(_parsed, sizes), tensors[name].shape, strict=True):
            if size % factor == 0:
                votes[label][size // factor] += 1
    for name, sizes in labels.items():
        expected = tuple(_size(*_parsed(label), votes) for label in sizes)
        if expected != tensors[name].shape:
            raise CheckpointError(_wrong_shape(place, name, tensors[name], str(expected)))


def _check_block_counts(component: Component, config: dict[str, Any], tensors: Tensors, place: str) -> None:
    for key, path in _BLOCK_COUNTS.get(component, {}).items():
        found = count(tensors, path)
        if key in config and config[key] != found:
            raise CheckpointError(
                f"{place} has {found} blocks where its config.json says {key} = {config[key]}. "
                "The checkpoint is incomplete; download it again."
            )


def _labels(layers: Iterable[Layer], tensors: Shapes) -> Iterable[tuple[str, tuple[str, ...]]]:
    """The labels of each tensor's axes, by name."""
    for layer in layers:
        if f"{layer.path}.{SCALES}" not in tensors:
            yield f"{layer.path}.weight", layer.sizes
        if layer.bias:
            yield f"{layer.path}.bias", layer.sizes[:1]


def _parsed(label: str) -> tuple[int, str]:
    """`6*width` as 6 and `width`; `width` as 1 and `width`."""
    factor, star, base = label.partition("*")
    return (int(factor), base) if star else (1, label)


def _size(factor: int, label: str, votes: Mapping[str, Counter[int]]) -> int:
    if label.isdigit():
        return int(label)
    elected = votes[label].most_common(1)
    return factor * elected[0][0] if elected else factor


def _wrong_shape(place: str, name: str, found: Shaped, expected: str) -> str:
    return (
        f"{place}: {name} has shape {tuple(found.shape)}, but the other weights require {expected}. "
        "The checkpoint is damaged or a mix of two models; download it again."
    )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
