"""FLUX's transformer as Black Forest Labs and ComfyUI name it, and where its tensors belong.

Source: `scripts/convert_flux_to_diffusers.py` of diffusers. Projections of one input are fused, their rows
one after another: q, k, v, and in single blocks the feed-forward behind them. The last modulation has shift
before scale, which diffusers and mflux have the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self, TypeVar

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.lora_layer_names import find_layers


class Rows(Protocol):
    """What can be divided by rows: a tensor, read or not."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def rows(self, start: int, stop: int) -> Self: ...

    def halves_swapped(self) -> Self: ...


T = TypeVar("T", bound=Rows)


def from_original(tensors: Mapping[str, T], place: str) -> dict[str, T]:
    """A transformer's tensors by their names in memory.

    Parameters
    ----------
    tensors
        By their original names, without a prefix.
    place
        The file, for messages.

    Raises
    ------
    CheckpointError
        If a fused tensor cannot be divided into its parts.
    """
    found: dict[str, T] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if (layers := find_layers(layer)) is None:
            found[name] = tensor  # unknown, which the check of names tells
        elif layers.is_norm:
            found[f"{layers.names[0]}.weight"] = tensor  # older files call it `scale`
        else:
            if layers.halves_swapped:
                tensor = tensor.halves_swapped()
            sizes = _sizes(len(layers.names), tensor.shape[0], _inner(tensors, layer), f"{place}: {name}")
            for own, start, stop in zip(layers.names, sizes, sizes[1:], strict=False):
                found[f"{own}.{kind}"] = tensor.rows(start, stop)
    return found


def _inner(tensors: Mapping[str, Rows], layer: str) -> int | None:
    """The width of the network, where a layer fuses parts of different sizes."""
    block, _, last = layer.rpartition(".")
    beside = tensors.get(f"{block}.linear2.weight") if last == "linear1" else None
    return None if beside is None else beside.shape[0]


def _sizes(parts: int, rows: int, width: int | None, what: str) -> list[int]:
    """Where the parts of a fused tensor begin and end."""
    if parts == 1:
        return [0, rows]
    if width is None:
        width, left = divmod(rows, parts)
        if left:
            raise CheckpointError(f"{what} has {rows} rows, which do not divide into {parts}.")
    edges = [width * part for part in range(parts)]
    if edges[-1] >= rows:
        raise CheckpointError(f"{what} has {rows} rows, too few for a network that is {width} wide.")
    return [*edges, rows]
