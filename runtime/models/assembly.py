"""Make a tree of layers from the tensors of a checkpoint.

The tree only holds the weights: what is computed with them is in `runtime/networks/`. Its leaves are MLX's
layers, so that MLX can quantise them and LoRAs can be put around them.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.architecture import Layer

Tensors = Mapping[str, mx.array]


class Shaped(Protocol):
    """What has a shape: an array, or a tensor that is not read yet."""

    @property
    def shape(self) -> tuple[int, ...]: ...


Shapes = Mapping[str, Shaped]

GROUP_SIZE = 64  # Inputs that share one scale when mflux or we quantise.
_LISTED = 3  # Names that a message gives of a longer list.
_SCALES, _OFFSETS = "scales", "biases"  # MLX's names for what a quantised weight comes with


class Part(nn.Module):
    """Layers and lists of parts by their names; or the gain and offset of a normalisation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]


def assemble(
    layers: Iterable[Layer],
    names: Collection[str],
    take: Callable[[str], mx.array],
    bits: int | None,
    finish: Callable[[str, Any], Any],
) -> Any:
    """The tree of these layers, made one after the other.

    Parameters
    ----------
    layers
        All layers of a network, or some of them.
    names
        Of the network's tensors, exactly; see `check_names` and `check_shapes`.
    take
        Reads the tensor of a name.
    bits
        Bits per weight of layers that have scales; None if no layer has.
    finish
        What becomes of each layer, given its path, before the next is made.
    """
    root = Part()
    for layer in layers:
        *parents, name = layer.path.split(".")
        made = finish(layer.path, _made(layer, names, take, bits))
        _put(_descend(root, parents, name), name, made)
    return root


def check_names(layers: Iterable[Layer], tensors: Shapes, place: str) -> None:
    """Raise CheckpointError unless the tensors are exactly those of the layers."""
    wanted: dict[str, None] = {}
    for layer in layers:
        names = ["weight", "bias"] if layer.bias else ["weight"]
        if f"{layer.path}.{_SCALES}" in tensors:
            names += [_SCALES, _OFFSETS]
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


def named(tree: Any) -> dict[str, mx.array]:
    """The arrays in a tree of weights, by their dotted names."""
    return dict(cast(list[tuple[str, mx.array]], tree_flatten(tree)))


def leaves(module: Any) -> list[tuple[str, Any]]:
    """The modules that contain no other module, by their dotted names."""
    found = tree_flatten(module.leaf_modules(), is_leaf=nn.Module.is_module)
    return cast(list[tuple[str, Any]], found)


def layer_at(module: Any, path: str) -> Any:
    """The layer at a path of a tree."""
    for step in path.split("."):
        module = module[int(step) if isinstance(module, list) else step]
    return module


def can_quantise(path: str, layer: Any) -> bool:
    """mflux's rule: linear layers and embeddings whose rows divide into whole groups."""
    return hasattr(layer, "to_quantized") and layer.weight.shape[-1] % GROUP_SIZE == 0


def _descend(root: Any, parents: list[str], name: str) -> Any:
    """The part or list that contains the layer called `name`; made if it is not there yet."""
    place = root
    for step, following in itertools.pairwise([*parents, name]):
        made: Any = [] if following.isdigit() else Part()
        if isinstance(place, list):
            place.extend(Part() for _ in range(int(step) - len(place)))  # of layers that are left out
            if int(step) == len(place):
                place.append(made)
            place = place[int(step)]
        else:
            if step not in place:
                place[step] = made
            place = place[step]
    return place


def _put(place: Any, name: str, layer: Any) -> None:
    if isinstance(place, list):
        place.append(layer)
    else:
        place[name] = layer


def _made(layer: Layer, names: Collection[str], take: Callable[[str], mx.array], bits: int | None) -> Any:
    prefix = f"{layer.path}."
    kinds = ("weight", "bias", _SCALES, _OFFSETS)
    own = {kind: take(prefix + kind) for kind in kinds if prefix + kind in names}
    made = _quantised(layer, own, bits) if _SCALES in own else _MAKERS[layer.kind](layer)
    for name, array in own.items():
        made[name] = array
    return made


def _quantised(layer: Layer, own: Tensors, bits: int | None) -> Any:
    """A packed row holds `inputs * bits / 32` words and `inputs / group` scales.

    mflux writes groups of 64; another group size is inferred where only it explains the stored shapes.
    """
    words, groups = own["weight"].shape[1], own[_SCALES].shape[1]
    candidates = [
        (words * 32 // (groups * size), size)
        for size in (GROUP_SIZE, 32, 128)
        if words * 32 % (groups * size) == 0 and words * 32 // (groups * size) in (2, 3, 4, 5, 6, 8)
    ]
    stored, size = next((each for each in candidates if each[0] == bits), candidates[0])
    if layer.kind == "embedding":
        return nn.QuantizedEmbedding(1, size, group_size=size, bits=stored)
    return nn.QuantizedLinear(size, 1, bias=layer.bias, group_size=size, bits=stored)


def _convolution(layer: Layer) -> Any:
    pads = layer.stride == 1 and layer.sizes[1] == "3"
    return nn.Conv2d(1, 1, 1, stride=layer.stride, padding=1 if pads else 0)


# MLX's layers at the smallest size: their arrays are replaced before anything is computed.
_MAKERS: dict[str, Callable[[Layer], Any]] = {
    "linear": lambda layer: nn.Linear(1, 1, bias=layer.bias),
    "embedding": lambda layer: nn.Embedding(1, 1),
    "norm": lambda layer: Part(),
    "convolution": _convolution,
}


def _labels(layers: Iterable[Layer], tensors: Shapes) -> Iterable[tuple[str, tuple[str, ...]]]:
    """The labels of each tensor's axes, by name."""
    for layer in layers:
        if f"{layer.path}.{_SCALES}" not in tensors:
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
