"""What ``--target`` prints of a value that is no file and no plain JSON value: its kind and its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from run_graph.graph.node import Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.graph.third_party import described
from run_graph.runtime.values import array_library


@dataclass(frozen=True)
class TargetValue:
    """An output of a target."""

    node_id: str
    output: str
    value: SocketValue

    def line(self) -> str:
        """``smaller.tokens: ReduxTokens 1 x 81 x 64``."""
        return f"{self.node_id}.{self.output}: {_text(self.value)}"

    def to_json(self) -> dict[str, Any]:
        """The event of ``--json``, with the shape and dtype of each array in the value."""
        arrays = {
            name: {"shape": list(array.shape), "dtype": str(array.dtype).rpartition(".")[2]}
            for name, array in _arrays(self.value, "")
        }
        return {
            "event": "value",
            "node_id": self.node_id,
            "output": self.output,
            "type": self.value.socket_type,
            "arrays": arrays,
        }


def target_values(by_node: Mapping[str, Outputs]) -> Iterator[TargetValue]:
    """The outputs that are values of a run's own, in order."""
    for node_id, outputs in by_node.items():
        for name, value in outputs.__dict__.items():
            if isinstance(value, SocketValue):
                yield TargetValue(node_id, name, value)


def _arrays(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The arrays in a value, and where in it they are: ``entries.0.tokens``."""
    if array_library(value) is not None:
        yield name, value
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _arrays(item, f"{name}.{index}")
    elif isinstance(value, SocketValue):
        for field, item in getattr(value, "__dict__", {}).items():
            yield from _arrays(item, f"{name}.{field}" if name else field)


def _text(value: SocketValue) -> str:
    try:
        return " ".join(repr(value).split())
    except Exception as error:  # a value of other people's code
        return f"{type(value).__name__} ({described(error)})"
