"""Handing out values so that nobody can spoil what the caches and other nodes hold.

A value that a node returned is shared by the caches, by every node that reads it and by the caller of the
run. Sealed numpy arrays are read-only, but MLX has no such thing: ``array += 1`` changes the array for all
its holders, and ``numpy.asarray(array)`` is a view that can be written to. So nodes and listeners get copies
of MLX arrays, which are small beside pictures, and callers of a run get copies of everything. Lists and dicts
are copied for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from run_graph.graph.node import Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.runtime.array_value import array_library, copy_of_array

OutputsType = TypeVar("OutputsType", bound=Outputs)

_PLAIN = frozenset({int, float, str, bool, type(None)})


def for_reader(value: Any) -> Any:
    """A value as nodes and listeners get it: what they do to it changes nothing for others.

    Pictures are not copied: their arrays are read-only.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, SocketValue):
        return value.for_reader()
    return _copied(value, for_reader)


def for_caller(value: Any) -> Any:
    """A value as the caller of a run gets it: its own, with arrays that it may change."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, SocketValue):
        return value.for_caller()
    return _copied(value, for_caller)


def outputs_for(hand_out: Callable[[Any], Any], outputs: OutputsType) -> OutputsType:
    """A node's outputs, each handed out; the same object if nothing had to be copied."""
    given = outputs.__dict__
    handed = {name: hand_out(value) for name, value in given.items()}
    if all(handed[name] is value for name, value in given.items()):
        return outputs
    return type(outputs).model_construct(**handed)


class OwnOutputs(Mapping[str, Outputs]):
    """The outputs of several nodes as the caller's own; they are copied when they are first asked for."""

    def __init__(self, by_node: Mapping[str, Outputs]) -> None:
        self._by_node = dict(by_node)
        self._owned: set[str] = set()

    def __getitem__(self, node_id: str) -> Outputs:
        outputs = self._by_node[node_id]
        if node_id not in self._owned:
            outputs = self._by_node[node_id] = outputs_for(for_caller, outputs)
            self._owned.add(node_id)
        return outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_node)

    def __len__(self) -> int:
        return len(self._by_node)


def _copied(value: Any, hand_out: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [hand_out(item) for item in value]
    if isinstance(value, dict):
        return {name: hand_out(item) for name, item in value.items()}
    if type(value) is tuple:
        return tuple(map(hand_out, value))
    return value if array_library(value) is None else copy_of_array(value)
