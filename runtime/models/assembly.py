"""Make a tree of layers from the tensors of a checkpoint.

The tree only holds the weights: what is computed with them is in `runtime/networks/`. Its leaves are MLX's
layers, so that MLX can quantise them and LoRAs can be put around them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from run_graph.runtime.models.architecture import Layer
from run_graph.runtime.models.fitting import OFFSETS, SCALES

Tensors = Mapping[str, mx.array]

GROUP_SIZE = 64  # Inputs that share one scale when mflux or we quantise.


class Packing(NamedTuple):
    """Bits of a weight, and how many weights of a row share a scale and an offset."""

    bits: int
    group: int


class Packings(NamedTuple):
    """How a network's quantised layers are packed.

    Attributes
    ----------
    known
        Of the layers for which it is known, by path.
    bits
        Bits per weight of the others, whose groups are inferred; None if that is not known either.
    """

    known: Mapping[str, Packing]
    bits: int | None


class Part(nn.Module):
    """Layers and lists of parts by their names; or the gain and offset of a normalisation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]


def assemble(
    layers: Iterable[Layer],
    names: Collection[str],
    take: Callable[[str], mx.array],
    packings: Packings,
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
    packings
        How the layers that have scales are packed.
    finish
        What becomes of each layer, given its path, before the next is made.
    """
    root = Part()
    for layer in layers:
        *parents, name = layer.path.split(".")
        made = finish(layer.path, _made(layer, names, take, packings))
        _put(_descend(root, parents, name), name, made)
    return root


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


def _made(layer: Layer, names: Collection[str], take: Callable[[str], mx.array], packings: Packings) -> Any:
    prefix = f"{layer.path}."
    kinds = ("weight", "bias", SCALES, OFFSETS)
    own = {kind: take(prefix + kind) for kind in kinds if prefix + kind in names}
    made = _MAKERS[layer.kind](layer)
    if SCALES in own:
        known = packings.known.get(layer.path)
        made = _quantised(layer, known or _inferred(own, packings.bits))
    for name, array in own.items():
        made[name] = array
    return made


def _quantised(layer: Layer, packing: Packing) -> Any:
    bits, size = packing
    if layer.kind == "embedding":
        return nn.QuantizedEmbedding(1, size, group_size=size, bits=bits)
    return nn.QuantizedLinear(size, 1, bias=layer.bias, group_size=size, bits=bits)


def _inferred(own: Tensors, bits: int | None) -> Packing:
    """A packed row holds `inputs * bits / 32` words and `inputs / group` scales.

    mflux writes groups of 64; another group size is inferred where only it explains the stored shapes.
    """
    words, groups = own["weight"].shape[1], own[SCALES].shape[1]
    candidates = [
        Packing(words * 32 // (groups * size), size)
        for size in (GROUP_SIZE, 32, 128)
        if words * 32 % (groups * size) == 0 and words * 32 // (groups * size) in (2, 3, 4, 5, 6, 8)
    ]
    return next((each for each in candidates if each.bits == bits), candidates[0])


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
