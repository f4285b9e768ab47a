"""What leaves a node has been computed: it can be read on another thread, and sent to another machine.

The engine evaluates every output (``seal``). So the rule is about types: each socket's value must be one that
seals itself, or hold nothing that could be left to compute.
"""

import threading
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import mlx.core as mx
import pytest

from run_graph.graph import Context, Node, Outputs, SocketValue
from run_graph.graph.declaration import outputs_class
from run_graph.graph.registry import installed_nodes
from run_graph.runtime.array_value import ArrayValue
from run_graph.runtime.engine.run_node import run_node
from run_graph.runtime.models.handles import ModelHandle
from run_graph.runtime.values import Latent

NODES = installed_nodes()
PLAIN = (int, float, str, bool, type(None))


def classes_in(annotation: Any) -> set[type]:
    """The classes that an annotation is made of."""
    if annotation is Any:  # what comes in by a link, and has been sealed
        return set()
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return {annotation}
    return {kind for part in get_args(annotation) for kind in classes_in(part)}


def is_final(kind: type) -> bool:
    """Whether a value of this class holds no array that nobody evaluates."""
    if issubclass(kind, (ArrayValue, ModelHandle, *PLAIN)) or kind in (list, dict, tuple):
        return True
    if not (issubclass(kind, SocketValue) and is_dataclass(kind)):
        return False
    hints = get_type_hints(kind)
    return all(is_final(part) for each in fields(kind) for part in classes_in(hints[each.name]))


@pytest.mark.parametrize("name", sorted(NODES))
def test_every_output_of_every_node_is_sealed_or_holds_nothing_to_compute(name: str) -> None:
    outputs = outputs_class(NODES[name])
    for field, info in outputs.model_fields.items():
        for kind in classes_in(info.annotation):
            assert is_final(kind), f"{name}.{field} returns a {kind.__name__}, which nobody evaluates"


class Lazy(Outputs):
    latent: Latent


class LeavesItToOthers(Node):
    """Returns an array that has not been computed."""

    def run(self, ctx: Context) -> Lazy:
        made = mx.ones((1, 2, 2, 16))
        for _ in range(3):
            made = made * 2
        return Lazy(latent=Latent(made))


def test_the_engine_evaluates_what_a_node_left_to_compute() -> None:
    outputs = run_node(LeavesItToOthers(), {}, None)  # type: ignore[arg-type]
    found: list[Any] = []

    def read() -> None:  # an array that is left to compute can only be computed on the thread that made it
        found.append(outputs.latent.samples.tolist())  # type: ignore[attr-defined]

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found == [[[[[8.0] * 16] * 2] * 2]]
