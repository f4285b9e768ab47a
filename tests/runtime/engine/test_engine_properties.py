"""The engine against a plain recursive evaluator, on random graphs of integer nodes."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cache_samples import disk, files
from conformance.integer_nodes import REGISTRY
from engine import ENVIRONMENT, Engine
from hypothesis import given, settings
from hypothesis import strategies as st

from run_graph.graph import Link, NodeSpec, Workflow
from run_graph.graph.validation import check
from run_graph.runtime.cache import MemoryCache, NoCache
from run_graph.runtime.engine.context import CancelToken, RunContext
from run_graph.runtime.engine.executor import Executor
from run_graph.runtime.engine.plan import make_plan
from run_graph.runtime.engine.services import Services
from run_graph.runtime.events import ignore

SETTINGS = settings(max_examples=80, deadline=None)
SMALL = st.integers(-3, 3)


@st.composite
def integer_workflows(draw: st.DrawFn) -> Workflow:
    """Up to 14 nodes, each fed by literals and earlier nodes; now and then a switch."""
    nodes: dict[str, NodeSpec] = {"n0": NodeSpec("Const", {"value": draw(SMALL)})}

    def operand() -> Any:
        if draw(st.integers(0, 3)) == 0:
            return draw(SMALL)
        source = draw(st.sampled_from(sorted(nodes)))
        slots = 2 if nodes[source].class_type == "DivMod" else 1
        return Link(source, draw(st.integers(0, slots - 1)))

    for i in range(1, draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["Const", "Inc", "Add", "DivMod", "Switch", "Switch"]))
        inputs: dict[str, Any] = {
            "Const": lambda: {"value": draw(SMALL)},
            "Inc": lambda: {"x": operand()},
            "Add": lambda: {"a": operand(), "b": operand()},
            "DivMod": lambda: {"a": operand(), "b": draw(st.integers(1, 3))},
            "Switch": lambda: {"cond": operand(), "on_true": operand(), "on_false": operand()},
        }[kind]()
        nodes[f"n{i}"] = NodeSpec(kind, inputs)
    return Workflow(nodes)


def evaluate(workflow: Workflow, node_id: str, touched: set[str]) -> tuple[int, ...]:
    """What a node's outputs must be; ``touched`` collects what has to be computed for it."""
    spec = workflow.nodes[node_id]
    touched.add(node_id)

    def value(name: str) -> int:
        given = spec.inputs[name]
        return evaluate(workflow, given.node_id, touched)[given.slot] if isinstance(given, Link) else given

    match spec.class_type:
        case "Const":
            return (value("value"),)
        case "Inc":
            return (value("x") + 1,)
        case "Add":
            return (value("a") + value("b"),)
        case "DivMod":
            return divmod(value("a"), value("b"))
        case _:
            return (value("on_true" if value("cond") else "on_false"),)


def outputs_of(result: Any, node_id: str) -> tuple[int, ...]:
    return tuple(result.outputs(node_id).__dict__.values())


def targets_of(workflow: Workflow) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(workflow.nodes)), min_size=1, max_size=4)


def assert_correct(engine: Engine, workflow: Workflow, targets: list[str]) -> set[str]:
    """Run, compare with the evaluator, and return what had to be computed."""
    result = engine.run(workflow, targets)
    touched: set[str] = set()
    expected = {target: evaluate(workflow, target, touched) for target in targets}
    assert {target: outputs_of(result, target) for target in result.by_node} == expected
    return touched


@SETTINGS
@given(st.data(), integer_workflows())
def test_the_engine_computes_what_a_recursive_evaluator_does(data: st.DataObject, workflow: Workflow) -> None:
    targets = data.draw(targets_of(workflow))
    engine = Engine(REGISTRY, NoCache())
    touched = assert_correct(engine, workflow, targets)
    assert set(engine.ran) | set(engine.reused("duplicate")) >= touched
    assert max(Counter(engine.ran).values(), default=0) <= 1


@SETTINGS
@given(st.data(), integer_workflows())
def test_nothing_runs_that_no_target_needs(data: st.DataObject, workflow: Workflow) -> None:
    """Except that any one of several identical nodes may run."""
    targets = data.draw(targets_of(workflow))
    engine = Engine(REGISTRY, NoCache())
    touched = assert_correct(engine, workflow, targets)
    results = Counter(spec_of(workflow, node_id) for node_id in engine.ran)
    assert set(results) == {spec_of(workflow, node_id) for node_id in touched}
    assert max(results.values()) == 1


def spec_of(workflow: Workflow, node_id: str) -> str:
    """A node and everything upstream, written out: equal exactly for identical nodes."""
    spec = workflow.nodes[node_id]
    parts = [
        f"{name}={spec_of(workflow, value.node_id)}.{value.slot}"
        if isinstance(value, Link)
        else f"{name}={value}"
        for name, value in sorted(spec.inputs.items())
    ]
    return f"{spec.class_type}({', '.join(parts)})"


@SETTINGS
@given(st.data(), integer_workflows())
def test_a_session_stays_right_whatever_ran_before(data: st.DataObject, workflow: Workflow) -> None:
    engine = Engine(REGISTRY, MemoryCache(data.draw(st.sampled_from([0, 3000, 10**9]))))
    for _ in range(4):
        assert_correct(engine, workflow, data.draw(targets_of(workflow)))
        constants = [node_id for node_id, spec in workflow.nodes.items() if spec.class_type == "Const"]
        workflow = workflow.with_input(data.draw(st.sampled_from(constants)), "value", data.draw(SMALL))


@settings(max_examples=30, deadline=None)
@given(st.data(), integer_workflows())
def test_sessions_on_one_damaged_cache_folder_stay_right(data: st.DataObject, workflow: Workflow) -> None:
    with TemporaryDirectory() as folder:
        for _ in range(4):
            assert_correct(Engine(REGISTRY, disk(Path(folder))[0]), workflow, data.draw(targets_of(workflow)))
            constants = [node_id for node_id, spec in workflow.nodes.items() if spec.class_type == "Const"]
            workflow = workflow.with_input(data.draw(st.sampled_from(constants)), "value", data.draw(SMALL))
            paths = files(Path(folder))
            for path in data.draw(st.lists(st.sampled_from(paths), max_size=3)) if paths else ():
                path.write_bytes(
                    data.draw(st.sampled_from([b"", path.read_bytes()[:-1], paths[0].read_bytes()]))
                )


@SETTINGS
@given(st.data(), integer_workflows())
def test_an_identical_second_run_runs_nothing(data: st.DataObject, workflow: Workflow) -> None:
    targets = data.draw(targets_of(workflow))
    engine = Engine(REGISTRY)
    first = engine.run(workflow, targets)
    assert engine.run(workflow, targets).by_node == first.by_node
    assert engine.ran == []


@SETTINGS
@given(st.data(), integer_workflows())
def test_the_order_of_nodes_does_not_change_results(data: st.DataObject, workflow: Workflow) -> None:
    targets = data.draw(targets_of(workflow))
    order = data.draw(st.permutations(sorted(workflow.nodes)))
    shuffled = Workflow({node_id: workflow.nodes[node_id] for node_id in order})
    one, other = Engine(REGISTRY, NoCache()), Engine(REGISTRY, NoCache())
    assert one.run(workflow, targets).by_node == other.run(shuffled, targets).by_node
    assert len(one.ran) == len(other.ran)


@SETTINGS
@given(st.data(), integer_workflows())
def test_no_value_outlives_its_last_reader(data: st.DataObject, workflow: Workflow) -> None:
    """At the end of a run only targets' values are held."""
    targets = data.draw(targets_of(workflow))
    plan = make_plan(check(workflow, REGISTRY, targets), ENVIRONMENT)
    run = RunContext(lambda node_id: ENVIRONMENT, Services(), NoCache(), ignore, CancelToken(), lambda *_: {})
    executor = Executor(plan, run)
    executor.run()
    assert set(executor.state.values) == {plan.steps[target].node_id for target in targets}
    assert not executor.state.waiting
    assert not executor.state.ready
