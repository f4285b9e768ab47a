"""dask's local scheduler, from its test_local.py, utils_test.py, test_callbacks.py and test_threaded.py.

Only facts about behaviour come from there; each test names the case. Cases are left out if this engine does
not have the feature: worker pools, tasks nested in lists, keys that are tuples, and aliases.
"""

from typing import Any

import pytest
from conformance.integer_nodes import REGISTRY, Add, Const, Inc, Integer
from engine import Engine, workflow

from run_graph.graph import Context, Link, Node, NodeSpec, Registry, Workflow, WorkflowError
from run_graph.runtime.errors import NodeFailed

XYZ = workflow(x=(Const, {"value": 1}), y=(Inc, {"x": "@x"}), z=(Add, {"a": "@x", "b": "@y"}))


def get(given: Workflow, *keys: str) -> tuple[int, ...]:
    result = Engine(REGISTRY).run(given, keys)
    return tuple(result.outputs(key).value for key in keys)  # type: ignore[attr-defined]


def test_get() -> None:
    """test_get, test_get_with_list: any node, or several, can be asked for."""
    assert (get(XYZ, "x"), get(XYZ, "y"), get(XYZ, "z")) == ((1,), (2,), (3,))
    assert get(XYZ, "z", "x") == (3, 1)


def test_badkey() -> None:
    """test_badkey: asking for a node that does not exist is an error that names it."""
    with pytest.raises(WorkflowError, match="there is no node 'badkey' to run"):
        get(XYZ, "badkey")
    with pytest.raises(WorkflowError, match="there is no node 'badkey' to run"):
        get(XYZ, "x", "badkey")


def test_literals_need_no_node() -> None:
    """test_data_not_in_dict_is_ok."""
    assert get(workflow(x=(Const, {"value": 1}), y=(Add, {"a": "@x", "b": 10})), "y") == (11,)


def ladder(*, closed: bool) -> Workflow:
    nodes = {f"x{i}": NodeSpec("Inc", {"x": Link(f"x{i - 1}")}) for i in range(1, 10_001)}
    nodes["x0"] = NodeSpec("Const", {"value": 0})
    if closed:
        nodes["x5000"] = NodeSpec("Inc", {"x": Link("x5001")})
    return Workflow(nodes)


def test_get_stack_limit() -> None:
    """test_get_stack_limit: 10,000 deep; a cycle in it is named; nodes outside the cycle still run."""
    assert get(ladder(closed=False), "x10000") == (10_000,)
    with pytest.raises(WorkflowError, match=r"x5000 \(Inc\) -> x5001 \(Inc\) -> x5000 \(Inc\)") as error:
        get(ladder(closed=True), "x10000")
    assert {fault.node_id for fault in error.value.faults} == {"x5000", "x5001"}
    assert get(ladder(closed=True), "x4999") == (4999,)


class MyError(Exception):
    """An exception with state."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)
        self.a, self.b = a, b

    def __str__(self) -> str:
        return "My Exception!"


class Raise(Node):
    """Raises what it was given to raise."""

    x: int = 0
    interrupt: bool = False

    def run(self, ctx: Context) -> Integer:
        if self.interrupt:
            raise KeyboardInterrupt
        raise MyError(1, 2)


RAISING = Registry([*REGISTRY.values(), Raise])


def test_exceptions_propagate() -> None:
    """test_exceptions_propagate: the original is the cause, with its type, text and state."""
    with pytest.raises(NodeFailed, match="My Exception!") as error:
        Engine(RAISING).run(workflow(x=(Raise, {})), ["x"])
    cause: Any = error.value.__cause__
    assert isinstance(cause, MyError)
    assert (cause.a, cause.b) == (1, 2)


def test_exceptions_in_the_middle_end_the_run() -> None:
    """test_exceptions_rise_to_top: a failed node ends the run, and nodes after it do not run."""
    engine = Engine(RAISING)
    given = workflow(x=(Const, {"value": 1}), y=(Raise, {"x": "@x"}), z=(Inc, {"x": "@y"}))
    with pytest.raises(NodeFailed, match="node 'y'"):
        engine.run(given, ["z"])
    assert engine.ran == ["x", "y"]


def test_only_needed_nodes_run() -> None:
    """Culling: a broken node that no target needs does no harm."""
    engine = Engine(RAISING)
    given = workflow(x=(Const, {"value": 1}), y=(Inc, {"x": "@x"}), bad=(Raise, {"x": "@x"}))
    assert engine.run(given, ["y"]).outputs("y").value == 2  # type: ignore[attr-defined]
    assert engine.ran == ["x", "y"]


def test_ordering() -> None:
    """test_ordering: nodes of equal priority run in the order of the graph."""
    nodes: dict[str, Any] = {f"x{i}": (Const, {"value": i}) for i in range(10)}
    engine = Engine(REGISTRY)
    engine.run(workflow(**nodes), list(nodes))
    assert engine.ran == list(nodes)


@pytest.mark.parametrize(
    ("node", "error", "status"),
    [
        ((Const, {"value": 1}), None, "done"),
        ((Raise, {}), NodeFailed, "failed"),
        ((Raise, {"interrupt": True}), KeyboardInterrupt, "interrupted"),
    ],
)
def test_finish_always_called(node: Any, error: Any, status: str) -> None:
    """test_finish_always_called, test_interrupt: the end is reported after success, failure and interrupt."""
    engine = Engine(RAISING)
    if error is None:
        engine.run(workflow(x=node), ["x"])
    else:
        with pytest.raises(error):
            engine.run(workflow(x=node), ["x"])
    assert engine.kinds.count("run_finished") == 1
    assert engine.events[-1].to_json()["status"] == status


def test_callback() -> None:
    """test_callback, test_start_callback: the start and end of each task are reported in pairs."""
    engine = Engine(REGISTRY)
    engine.run(XYZ, ["z"])
    assert engine.kinds == ["run_started", *["node_started", "node_finished"] * 3, "run_finished"]


@pytest.mark.parametrize(
    "inputs",
    [{"x": ["x"]}, {"x": ["x", 0, 0]}, {"x": ["gone", 0]}, {"x": ["x", 5]}, {"x": {}}, {"x": None}, {}],
)
def test_a_malformed_graph_is_refused(inputs: dict[str, Any]) -> None:
    """Malformed graphs: an error that names the node, before anything runs."""
    engine = Engine(REGISTRY)
    document = {
        "x": {"class_type": "Const", "inputs": {"value": 1}},
        "y": {"class_type": "Inc", "inputs": inputs},
    }
    with pytest.raises(WorkflowError, match=r"node 'y' \(Inc\), input 'x'"):
        engine.run(Workflow.from_json(document), ["y"])
    assert engine.events == []
