"""The bookkeeping of a run, step by step, without running anything."""

import doctest
from typing import Any

from conformance.integer_nodes import REGISTRY, Add, Const, Inc, Integer, Sink, Switch
from engine import ENVIRONMENT, workflow

from run_graph.graph import Outputs, Workflow
from run_graph.graph.validation import check
from run_graph.runtime.engine import state as state_module
from run_graph.runtime.engine.plan import Plan, make_plan
from run_graph.runtime.engine.state import RunState

DIAMOND = workflow(
    top=(Const, {"value": 1}),
    left=(Inc, {"x": "@top"}),
    right=(Add, {"a": "@top", "b": 5}),
    join=(Add, {"a": "@left", "b": "@right"}),
)
SWITCH = workflow(
    cond=(Const, {"value": 1}),
    source=(Const, {"value": 2}),
    yes=(Inc, {"x": "@source"}),
    no=(Add, {"a": "@source", "b": 5}),
    switch=(Switch, {"cond": "@cond", "on_true": "@yes", "on_false": "@no"}),
    sink=(Sink, {"x": "@switch"}),
)


def plan_of(given: Workflow, *targets: str) -> Plan:
    return make_plan(check(given, REGISTRY, targets), ENVIRONMENT)


def state_of(given: Workflow, *targets: str, **held: int) -> RunState:
    """A state whose targets are demanded; ``held`` are results of an earlier run."""
    plan = plan_of(given, *targets)
    results: dict[str, Outputs] = {
        plan.steps[node_id].key: Integer(value=value) for node_id, value in held.items()
    }
    state = RunState(plan, lambda key, node: results.get(key))
    state.demand(targets)
    return state


def finish(state: RunState, value: int) -> tuple[str, dict[str, Any]]:
    step, inputs = state.next_ready()
    state.finish(step, Integer(value=value))
    return step.node_id, inputs


def next_ready(state: RunState) -> tuple[str, dict[str, Any]]:
    step, inputs = state.next_ready()
    return step.node_id, inputs


def test_demand_goes_upstream_from_the_targets() -> None:
    state = state_of(DIAMOND, "join")
    assert state.demanded == {"top", "left", "right", "join"}
    assert state.waiting == {"join": 2, "left": 1, "right": 1}
    assert state.readers == {"top": 2, "left": 1, "right": 1}
    assert state.values == {}


def test_a_result_wakes_its_readers_and_is_freed_at_the_last() -> None:
    state = state_of(DIAMOND, "join")
    assert finish(state, 1) == ("top", {})
    assert state.waiting == {"join": 2}
    assert finish(state, 2) == ("left", {"x": 1})
    assert set(state.values) == {"top", "left"}
    assert finish(state, 6) == ("right", {"a": 1})
    assert set(state.values) == {"left", "right"}
    assert finish(state, 8) == ("join", {"a": 2, "b": 6})
    assert set(state.values) == {"join"}
    assert not state.ready
    assert state.waiting == {}


def test_nothing_above_a_known_result_is_touched() -> None:
    state = state_of(DIAMOND, "join", left=2, top=1)
    assert state.demanded == {"join", "left", "right", "top"}  # right still needs top
    assert set(state.values) == {"left", "top"}
    state = state_of(DIAMOND, "join", left=2, right=6)
    assert state.demanded == {"join", "left", "right"}
    assert state.readers["top"] == 0
    assert next_ready(state) == ("join", {"a": 2, "b": 6})


def test_a_known_target_ends_the_run_at_once() -> None:
    state = state_of(DIAMOND, "join", join=8)
    assert state.demanded == {"join"}
    assert not state.ready
    assert state.values["join"] == Integer(value=8)


def test_lazy_inputs_are_not_demanded_until_asked() -> None:
    state = state_of(SWITCH, "sink")
    assert state.demanded == {"sink", "switch", "cond"}
    finish(state, 1)
    assert next_ready(state) == ("switch", {"cond": 1})
    assert state.demand_lazy("switch", ["on_true"]) == {}
    assert state.demanded == {"sink", "switch", "cond", "yes", "source"}
    assert finish(state, 2)[0] == "source"
    assert finish(state, 3) == ("yes", {"x": 2})
    assert set(state.values) == {"cond", "source", "yes"}  # the other branch may still be asked for
    assert finish(state, 3) == ("switch", {"cond": 1, "on_true": 3})
    assert set(state.values) == {"switch"}
    assert "no" not in state.demanded
    assert state.readers["source"] == 0  # the branch that was not taken has released it


def test_a_lazy_demand_that_is_known_makes_its_node_ready_at_once() -> None:
    state = state_of(SWITCH, "sink", yes=30)
    finish(state, 1)
    state.next_ready()
    assert state.demand_lazy("switch", ["on_true"]) == {"yes": Integer(value=30)}
    assert next_ready(state) == ("switch", {"cond": 1, "on_true": 30})
    assert "source" not in state.demanded


def test_identical_nodes_are_one_step() -> None:
    duplicates = workflow(a=(Const, {"value": 1}), b=(Const, {"value": 1}), c=(Add, {"a": "@a", "b": "@b"}))
    plan = plan_of(duplicates, "c")
    assert {node_id: step.node_id for node_id, step in plan.steps.items()} == {"a": "a", "b": "a", "c": "c"}
    assert {link.node_id for link in plan.steps["c"].links.values()} == {"a"}
    state = RunState(plan, lambda key, node: None)
    state.demand(["c"])
    assert state.readers == {"a": 2}
    assert finish(state, 1)[0] == "a"
    assert next_ready(state) == ("c", {"a": 1, "b": 1})


def test_depth_is_the_longest_path_from_a_node_without_inputs() -> None:
    plan = plan_of(SWITCH, "sink")
    depths = {node_id: step.depth for node_id, step in plan.steps.items()}
    assert depths == {"cond": 0, "source": 0, "yes": 1, "no": 1, "switch": 2, "sink": 3}


def test_the_example_in_the_modules_docstring() -> None:
    given = workflow(
        one=(Const, {"value": 1}), more=(Inc, {"x": "@one"}), sum=(Add, {"a": "@one", "b": "@more"})
    )
    names = {"RunState": RunState, "Integer": Integer, "plan": plan_of(given, "sum")}
    example = doctest.DocTestParser().get_doctest(state_module.__doc__ or "", names, "state", None, None)
    results = doctest.DocTestRunner().run(example)
    assert results.failed == 0
    assert results.attempted > 10
