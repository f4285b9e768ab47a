"""What another process needs to run a node, and what it sends back, can be pickled."""

import copyreg
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cache_samples import VALUES, Kept
from conformance.integer_nodes import REGISTRY, Add, Const, DivMod, Inc, Integer
from engine import ENVIRONMENT, Engine, workflow

from run_graph.graph import Context, Node, Outputs, Registry, Workflow, load_workflow
from run_graph.graph.registry import installed_nodes
from run_graph.graph.validation import check
from run_graph.runtime.cache.serialization import serialize
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.plan import Plan, Step, make_plan
from run_graph.runtime.engine.run_node import failure_of, lazy_inputs_needed, run_node
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import Event, NodeErred, NodeFinished, NodeReused, NodeStarted, RunFinished

WORKFLOWS = Path(__file__).parents[3] / "workflows"

Value = TypeVar("Value")


def copied(value: Value) -> Value:
    made: Value = pickle.loads(pickle.dumps(value))
    return made


@pytest.fixture(scope="module")
def shipped() -> tuple[Workflow, Plan]:
    given = load_workflow(WORKFLOWS / "redux_modes.json")
    environment = RunEnvironment([WORKFLOWS], Path("output"))
    return given, make_plan(check(given, installed_nodes(), None, environment), environment)


def test_a_workflow(shipped: tuple[Workflow, Plan]) -> None:
    given, _ = shipped
    assert any(spec.upstream for spec in given.nodes.values())
    assert copied(given) == given
    assert copied(given).dumps() == given.dumps()
    for spec in given.nodes.values():
        assert copied(spec) == spec
        assert (copied(spec).title, copied(spec).upstream) == (spec.title, spec.upstream)
        with pytest.raises(TypeError):
            copied(spec).inputs["seed"] = 1  # type: ignore[index]


def test_a_plan_and_its_steps(shipped: tuple[Workflow, Plan]) -> None:
    _, plan = shipped
    assert any(step.links for step in plan.steps.values())
    assert copied(plan) == plan
    for step in plan.steps.values():
        assert copied(step) == step
        assert type(copied(step).node) is type(step.node)


def test_the_size_of_a_step_does_not_grow_with_the_graph() -> None:
    chain = {"n0": (Const, {"value": 0})} | {f"n{i}": (Inc, {"x": f"@n{i - 1}"}) for i in range(1, 50)}
    plan = make_plan(check(workflow(**chain), REGISTRY, ["n49"]), ENVIRONMENT)
    assert len(pickle.dumps(plan.steps["n49"])) < len(pickle.dumps(plan.steps["n1"])) + 100


@pytest.mark.parametrize("name", VALUES)
def test_values_and_outputs(name: str) -> None:
    value, _ = VALUES[name]
    found = copied(Kept(value=value))
    assert type(found) is Kept
    assert serialize(found.value).digest() == serialize(value).digest()


class OwnError(Exception):
    """Cannot be unpickled: it is made with two arguments, and keeps one."""

    def __init__(self, layer: int, why: str) -> None:
        super().__init__(f"layer {layer}: {why}")


def failures() -> Iterator[Exception]:
    yield ValueError("too wide")
    yield KeyError("layer")
    yield OSError(28, "No space left on device")
    yield ValueError()
    try:
        Integer(value="five")  # type: ignore[arg-type]
    except ValueError as error:  # pydantic's
        yield error


def same_failure(found: NodeFailed, failure: NodeFailed) -> bool:
    names = ("node_id", "class_type", "inputs", "error", "file", "reason")
    same = [getattr(found, name) == getattr(failure, name) for name in names]
    return str(found) == str(failure) and all(same)


@pytest.mark.parametrize("cause", [*failures()], ids=lambda cause: type(cause).__name__)
def test_a_failure_with_its_cause(cause: Exception) -> None:
    failure = NodeFailed("sample", "FluxSample", {"steps": 4, "prompt": "a fox " * 100}, cause)
    failure.file = "fox.json"
    found = copied(failure)
    assert same_failure(found, failure)
    assert type(found.__cause__) is type(cause)
    assert str(found.__cause__) == str(cause)


@pytest.mark.parametrize("cause", [OwnError(3, "NaN"), ValueError(lambda: 0)], ids=["arguments", "content"])
def test_a_failure_whose_cause_cannot_be_pickled_keeps_its_words(cause: Exception) -> None:
    failure = NodeFailed("sample", "FluxSample", {}, cause)
    found = copied(failure)
    assert same_failure(found, failure)
    # Where distributed is loaded, tblib can pickle classes that exist by then, whatever their arguments.
    travels = type(cause) is OwnError and OwnError in copyreg.dispatch_table
    assert type(found.__cause__) is (OwnError if travels else RuntimeError)
    assert copied(found).error == type(cause).__name__


def test_all_events_but_not_what_their_weak_references_lead_to() -> None:
    engine = Engine(REGISTRY)
    given = workflow(a=(Const, {"value": 1}), b=(Const, {"value": 1}), c=(Inc, {"x": "@a"}))
    kept: list[Event] = []
    engine.run(given, ["b", "c"], kept.append)
    engine.run(given, ["b", "c"], kept.append)
    with pytest.raises(NodeFailed):
        engine.run(workflow(a=(Const, {"value": 0}), d=(DivMod, {"a": 1, "b": "@a"})), ["d"], kept.append)
    assert {NodeStarted, NodeFinished, NodeReused, NodeErred, RunFinished} <= set(map(type, kept))
    for event in kept:
        assert copied(event) == event
        assert copied(event).to_json() == event.to_json()
        if isinstance(event, NodeFinished | NodeReused):
            assert copied(event).outputs() is None


class Worker:
    """The context that a process without a session gives to a node."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id


def run_in_worker(step: Step, values: dict[str, Any]) -> Outputs:
    assert lazy_inputs_needed(step, values) == []
    context: Any = Worker(step.node_id)
    try:
        return run_node(step.node, values, context)
    except Exception as raised:
        raise failure_of(step, values, raised) from raised


class Fails(Node):
    """Raises an error that cannot be unpickled."""

    x: int = 0

    def run(self, ctx: Context) -> Integer:
        raise OwnError(self.x, f"failed in {ctx.node_id}")


def test_another_process_runs_a_node_and_reports_its_failure() -> None:
    registry = Registry([*REGISTRY.values(), Fails])
    given = workflow(
        a=(Const, {"value": 2}), sum=(Add, {"a": "@a", "b": 5}), f=(Fails, {"x": "@a"}), d=(Inc, {"x": "@a"})
    )
    plan = make_plan(check(given, registry, ["sum", "f", "d"]), ENVIRONMENT)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        one = pool.submit(run_in_worker, plan.steps["a"], {}).result()
        total = pool.submit(run_in_worker, plan.steps["sum"], {"a": one.__dict__["value"]}).result()
        with pytest.raises(NodeFailed, match=r"^node 'f' \(Fails\) failed: layer 2: failed in f$") as caught:
            pool.submit(run_in_worker, plan.steps["f"], {"x": 2}).result()
        with pytest.raises(NodeFailed, match="input 'x'"):
            pool.submit(run_in_worker, plan.steps["d"], {"x": "two"}).result()
    assert total == Integer(value=7)
    assert (caught.value.error, caught.value.inputs) == ("OwnError", {"x": "2"})
