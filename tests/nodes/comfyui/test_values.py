"""Numbers, texts and choices."""

from typing import Any

import numpy as np
import pytest

from run_graph.graph import Registry, Workflow, WorkflowError
from run_graph.nodes import (
    NODES,
    ComfyMathExpression,
    PreviewAny,
    PrimitiveBoolean,
    PrimitiveFloat,
    PrimitiveInt,
    PrimitiveString,
    PrimitiveStringMultiline,
    StringConcatenate,
)
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Mask


def run(nodes: dict[str, tuple[str, dict[str, Any]]], target: str) -> dict[str, Any]:
    """The outputs of a node of a workflow."""
    document = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    session = Session(registry=Registry(NODES), cache=NoCache())
    return dict(vars(session.run(Workflow.from_json(document), targets=[target]).outputs(target)))


@pytest.mark.parametrize(
    ("node_class", "value"),
    [
        (PrimitiveInt, -(2**62)),
        (PrimitiveFloat, 0.1),
        (PrimitiveString, "a"),
        (PrimitiveStringMultiline, "a\nb"),
        (PrimitiveBoolean, True),
    ],
)
def test_a_value_is_passed_on(bench: NodeBench, node_class: Any, value: Any) -> None:
    assert list(vars(bench.run(node_class(value=value))).values()) == [value]


def test_texts_are_joined(bench: NodeBench) -> None:
    node = StringConcatenate(string_a="a fox", string_b="in the snow", delimiter=", ")
    assert bench.run(node).string == "a fox, in the snow"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("as it is\n", "as it is\n"),
        (1.5, "1.5"),
        (True, "True"),
        (None, "None"),
        ([1, "狐"], '[\n    1,\n    "狐"\n]'),
        (Mask(np.zeros((1, 2, 3), np.float32)), "Mask 1 x 2 x 3"),
    ],
)
def test_any_value_is_shown(bench: NodeBench, source: Any, text: str) -> None:
    assert bench.run(PreviewAny(source=source)).string == text


@pytest.mark.parametrize("switch", [True, False])
def test_of_two_branches_only_the_chosen_one_runs(switch: bool) -> None:
    failing = ("CropMask", {"mask": ["mask", 0], "x": 99})
    good = ("InvertMask", {"mask": ["mask", 0]})
    nodes: dict[str, Any] = {
        "mask": ("SolidMask", {"width": 2, "height": 1}),
        "yes": good if switch else failing,
        "no": failing if switch else good,
        "switch": ("ComfySwitchNode", {"switch": switch, "on_true": ["yes", 0], "on_false": ["no", 0]}),
    }
    assert run(nodes, "switch")["output"].values.tolist() == [[[0, 0]]]
    with pytest.raises(NodeFailed, match="outside a mask"):
        run({**nodes, "switch": ("ComfySwitchNode", {**nodes["switch"][1], "switch": not switch})}, "switch")


def test_an_expression_reads_linked_and_written_values() -> None:
    nodes: dict[str, Any] = {
        "two": ("PrimitiveInt", {"value": 2}),
        "yes": ("PrimitiveBoolean", {"value": True}),
        "maths": (
            "ComfyMathExpression",
            {
                "expression": "a * 1.75 + b + c",
                "values.a": ["two", 0],
                "values.b": ["yes", 0],
                "values.c": -6,
            },
        ),
    }
    assert run(nodes, "maths") == {"float": -1.5, "int": -1, "bool": True}


def test_a_bad_expression_is_reported_before_the_run() -> None:
    nodes: dict[str, Any] = {"maths": ("ComfyMathExpression", {"expression": "a + bb", "values.a": 1})}
    with pytest.raises(WorkflowError, match="there is no value 'bb'; known are a, values"):
        run(nodes, "maths")


def test_an_expression_without_a_result_names_its_node() -> None:
    nodes: dict[str, Any] = {"maths": ("ComfyMathExpression", {"expression": "1 / a", "values.a": 0})}
    with pytest.raises(NodeFailed, match=r"'maths' \(ComfyMathExpression\) failed.*division by zero"):
        run(nodes, "maths")


def test_an_expression_that_a_link_delivers_is_read_then() -> None:
    nodes: dict[str, Any] = {
        "text": ("PrimitiveString", {"value": "a ** 2"}),
        "maths": ("ComfyMathExpression", {"expression": ["text", 0], "values.a": 3}),
    }
    assert run(nodes, "maths")["int"] == 9


def test_a_value_that_is_no_number_is_refused() -> None:
    assert ComfyMathExpression(**{"values.z": 1, "expression": "z"}).run(None).int == 1  # type: ignore[arg-type]
    nodes: dict[str, Any] = {"maths": ("ComfyMathExpression", {"values.a": "many"})}
    with pytest.raises(WorkflowError, match=r"values\.a"):
        run(nodes, "maths")
