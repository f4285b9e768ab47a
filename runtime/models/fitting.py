"""Fit mflux's modules, built at FLUX.1's sizes, to the weights of a checkpoint of any size.

mflux's constructors fix every width. Arrays in MLX are lazy, so such a module costs nothing until
its weights are replaced. The number of blocks has to be adjusted. The names of the weights have to be
complete, and their sizes have to agree with each other.
"""

from collections import Counter, defaultdict
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from run_graph.runtime.errors import CheckpointError

_LISTED = 3  # Names that a message gives of a longer list.


def named(tree: Any) -> dict[str, mx.array]:
    """The arrays in a tree of weights, by their dotted names."""
    return dict(cast(list[tuple[str, mx.array]], tree_flatten(tree)))


def layers(module: Any) -> list[tuple[str, Any]]:
    """The modules that contain no other module, by their dotted names."""
    leaves = tree_flatten(module.leaf_modules(), is_leaf=nn.Module.is_module)
    return cast(list[tuple[str, Any]], leaves)


def trim_blocks(module: Any, weights: dict[str, Any]) -> None:
    """Drop the blocks that the checkpoint does not have, in place, at every depth.

    A block is kept if the checkpoint has any weight for it. `weights` is a tree of dicts, lists and
    arrays shaped like the module's parameters.
    """
    for name, child in list(module.items()):
        given = weights.get(name) if isinstance(weights, dict) else None
        if isinstance(child, nn.Module):
            trim_blocks(child, given or {})
        elif isinstance(child, list) and isinstance(given, list):
            module[name] = child[: len(given)]
            for block, block_weights in zip(module[name], given, strict=False):
                if isinstance(block, nn.Module):
                    trim_blocks(block, block_weights)


def check_names(module: Any, weights: dict[str, Any], place: str) -> None:
    """Raise CheckpointError unless `weights` names exactly the module's parameters."""
    wanted = set(named(module.parameters()))
    given = set(named(weights))
    if missing := sorted(wanted - given):
        raise CheckpointError(
            f"{place} lacks {_list(missing)}. The checkpoint is incomplete or made for another model; "
            "download it again, or use a FLUX.1 model in diffusers' layout."
        )
    if unknown := sorted(given - wanted):
        raise CheckpointError(
            f"{place} contains weights that FLUX.1 does not have: {_list(unknown)}. "
            "It was made for another model."
        )


def check_shapes(module: Any, weights: dict[str, Any], place: str) -> None:
    """Raise CheckpointError if the sizes of the weights contradict each other.

    Wherever FLUX.1 has one size, say 3072, a smaller model has one size too, say 192. Each tensor
    votes on which size replaces which; tensors that disagree with the majority are wrong. Quantised
    layers pack their weights and are left out.
    """
    full = {name: array.shape for name, array in named(module.parameters()).items()}
    given = {name: array.shape for name, array in named(weights).items()}
    packed = {name.removesuffix(".scales") for name in given if name.endswith(".scales")}
    names = [name for name in full if name.rsplit(".", 1)[0] not in packed]
    for name in names:
        if len(full[name]) != len(given[name]):
            raise CheckpointError(_wrong_shape(place, name, given[name], f"{len(full[name])} dimensions"))
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for name in names:
        for size, found in zip(_sizes(name, full[name]), given[name], strict=True):
            votes[size][found] += 1
    for name in names:
        expected = tuple(votes[size].most_common(1)[0][0] for size in _sizes(name, full[name]))
        if expected != given[name]:
            raise CheckpointError(_wrong_shape(place, name, given[name], str(expected)))


def shape_for_packed(module: Any, weights: dict[str, Any], bits: int) -> None:
    """Replace the layers that are quantised in the checkpoint with quantised layers of the same sizes.

    A packed row holds `inputs * bits / 32` words and `inputs / group` scales. mflux writes groups of
    64; another group size is inferred where only it explains the stored shapes.
    """
    given = named(weights)
    layout: dict[str, dict[str, int]] = {}
    for path, layer in layers(module):
        scales = given.get(f"{path}.scales")
        if scales is None:
            continue
        rows, groups = scales.shape
        words = given[f"{path}.weight"].shape[1]
        layout[path] = _packing(words, groups, bits)
        layer.weight = mx.zeros((rows, groups * layout[path]["group_size"]))
    nn.quantize(module, bits=bits, class_predicate=lambda path, _: layout.get(path, False))


def _packing(words: int, groups: int, bits: int) -> dict[str, int]:
    candidates = [
        (words * 32 // (groups * size), size)
        for size in (64, 32, 128)
        if words * 32 % (groups * size) == 0 and words * 32 // (groups * size) in (2, 3, 4, 5, 6, 8)
    ]
    stored = next((candidate for candidate in candidates if candidate[0] == bits), candidates[0])
    return {"bits": stored[0], "group_size": stored[1]}


def _sizes(name: str, shape: tuple[int, ...]) -> list[str]:
    """A label for each dimension; equal labels mean equal sizes.

    T5's attention has its own label, because it is as wide as the model only in the published size.
    """
    labels = [str(size) for size in shape]
    if name.endswith(("SelfAttention.q.weight", "SelfAttention.k.weight", "SelfAttention.v.weight")):
        labels[0] = "attention"
    if name.endswith("SelfAttention.o.weight"):
        labels[1] = "attention"
    return labels


def _wrong_shape(place: str, name: str, found: tuple[int, ...], expected: str) -> str:
    return (
        f"{place}: {name} has shape {tuple(found)}, but the other weights require {expected}. "
        "The checkpoint is damaged or a mix of two models; download it again."
    )


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
