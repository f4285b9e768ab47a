"""A session runs plans with any executor, and results and events stay the same."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.integer_nodes import REGISTRY, Add, Const, DivMod, Inc, Sink, Switch
from engine import ENVIRONMENT, TREE, workflow
from sample_nodes import Kept

from run_graph.graph import Context, Node, Outputs, Registry, Workflow
from run_graph.graph.declaration import outputs_of
from run_graph.runtime.cache import Entry, NoCache
from run_graph.runtime.current_run import current_run
from run_graph.runtime.engine.context import CancelToken, NodeContext, RunContext
from run_graph.runtime.engine.executor import Executor
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.engine.protocol import ExecutorFactory, HasRoom, PlanExecutor
from run_graph.runtime.engine.run_node import (
    failure_of,
    lazy_inputs_needed,
    node_erred,
    node_finished,
    node_reused,
    run_node,
)
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import RunResult, Session
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, NodeFinished, NodeReused, NodeStarted, RunFinished


class Recursive:
    """Computes each target by recursion and keeps all values; no cache, no policy, no second thread."""

    def __init__(self, plan: Plan, run_context: RunContext, has_room: HasRoom) -> None:
        self.plan = plan
        self.context = run_context
        self.values: dict[str, Outputs] = {}

    def run(self) -> dict[str, Outputs]:
        for target in self.plan.targets:
            self.compute(self.plan.steps[target])
        return {target: self.values[self.plan.steps[target].node_id] for target in self.plan.targets}

    def pending_values(self) -> Iterator[Any]:
        for outputs in self.values.values():
            yield from outputs.__dict__.values()

    def compute(self, step: Step) -> None:
        if step.node_id in self.values:
            return
        self.context.token.raise_if_cancelled()
        values = {name: self.value_of(step, name) for name in step.eager}
        try:
            while names := lazy_inputs_needed(step, values):
                values |= {name: self.value_of(step, name) for name in names}
            self.context.emit(NodeStarted(step.node_id, step.node.class_type))
            started = time.perf_counter()
            outputs = run_node(step.node, values, NodeContext(step.node_id, self.context, step.key))
        except (Cancelled, NodeFailed):
            raise
        except Exception as raised:
            failure = failure_of(step, values, raised)
            self.context.emit(node_erred(failure))
            raise failure from raised
        seconds = time.perf_counter() - started
        self.values[step.node_id] = outputs
        self.context.cache.put(Entry(step.key, outputs, None, seconds, type(step.node)))
        self.context.emit(node_finished(step, outputs, seconds))
        for node_id, other in self.plan.steps.items():
            if other is step and node_id != step.node_id:
                self.context.emit(node_reused(node_id, step.node.class_type, "duplicate", outputs))

    def value_of(self, step: Step, name: str) -> Any:
        link = step.links[name]
        self.compute(self.plan.steps[link.node_id])
        source = self.plan.steps[link.node_id]
        return getattr(self.values[link.node_id], outputs_of(type(source.node))[int(link.slot)].name)


SWITCH = workflow(
    cond=(Const, {"value": 1}),
    yes=(Inc, {"x": "@cond"}),
    no=(Add, {"a": "@cond", "b": 5}),
    switch=(Switch, {"cond": "@cond", "on_true": "@yes", "on_false": "@no"}),
    same=(Inc, {"x": "@cond"}),
    both=(Add, {"a": "@switch", "b": "@same"}),
    sink=(Sink, {"x": "@both"}),
    twice=(Sink, {"x": "@same"}),
)
LAZY = {"yes", "no"}  # may be computed after their reader started to wait, or not at all
FAILING = workflow(zero=(Const, {"value": 0}), d=(DivMod, {"a": 1, "b": "@zero"}), s=(Sink, {"x": "@d"}))

both = pytest.mark.parametrize("executor", [Executor, Recursive])


def run(executor: ExecutorFactory, given: Workflow) -> tuple[RunResult, list[Event]]:
    events: list[Event] = []
    session = Session(REGISTRY, NoCache(), executor=executor)
    return session.run(given, environment=ENVIRONMENT, on_event=events.append), events


@pytest.mark.parametrize("given", [TREE, SWITCH], ids=["tree", "switch"])
def test_results_and_what_ran_are_the_same(given: Workflow) -> None:
    (first, events), (second, other_events) = run(Executor, given), run(Recursive, given)
    assert second.by_node == first.by_node
    assert second.as_run() == first.as_run()
    assert sorted(summary(other_events)) == sorted(summary(events))


def summary(events: list[Event]) -> Iterator[tuple[str, str, str]]:
    for event in events:
        if isinstance(event, NodeStarted | NodeFinished | NodeReused):
            yield event.kind, event.node_id, getattr(event, "origin", "")


@both
@pytest.mark.parametrize("given", [TREE, SWITCH], ids=["tree", "switch"])
def test_events_come_in_an_order_that_makes_sense(executor: ExecutorFactory, given: Workflow) -> None:
    _, events = run(executor, given)
    kinds = [event.kind for event in events]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert (kinds.count("run_started"), kinds.count("run_finished")) == (1, 1)
    known: set[str] = set()
    running: set[str] = set()
    for event in events:
        if isinstance(event, NodeStarted):
            assert known >= {*given.nodes[event.node_id].upstream} - LAZY
            running.add(event.node_id)
        elif isinstance(event, NodeFinished):
            running.remove(event.node_id)
            known.add(event.node_id)
        elif isinstance(event, NodeReused):
            known.add(event.node_id)
    assert not running


@both
def test_a_failure_is_the_same_error_and_the_same_event(executor: ExecutorFactory) -> None:
    events: list[Event] = []
    with pytest.raises(NodeFailed, match=r"^node 'd' \(DivMod\) failed: input 'b': the value is too small"):
        Session(REGISTRY, NoCache(), executor=executor).run(
            FAILING, environment=ENVIRONMENT, on_event=events.append
        )
    assert [event.kind for event in events][-2:] == ["node_failed", "run_finished"]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "failed"


@both
def test_a_run_can_be_cancelled(executor: ExecutorFactory) -> None:
    token, events = CancelToken(), list[Event]()
    token.cancel()
    with pytest.raises(Cancelled):
        Session(REGISTRY, executor=executor).run(TREE, token=token, on_event=events.append)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "interrupted"


class Needed:
    """A service that asks what is still needed."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, event: Event) -> None:
        run = current_run()
        if run is not None and isinstance(event, NodeStarted) and event.node_id == "ask":
            self.seen = list(run.pending_values())


class Ask(Node):
    is_output = True
    x: Any

    def run(self, ctx: Context) -> Kept:
        return Kept(value=self.x)


@both
def test_services_see_the_values_that_are_still_needed(executor: ExecutorFactory) -> None:
    service = Needed()
    session = Session(Registry([Const, Ask]), NoCache(), Services(service), executor)
    session.run(workflow(c=(Const, {"value": 77}), ask=(Ask, {"x": "@c"})))
    assert service.seen == [77]


def test_the_executor_gets_the_plan_the_context_and_the_sessions_memory_gate() -> None:
    made: list[tuple[Plan, RunContext, HasRoom]] = []

    def noting(plan: Plan, run_context: RunContext, has_room: HasRoom) -> PlanExecutor:
        made.append((plan, run_context, has_room))
        return Recursive(plan, run_context, has_room)

    session = Session(REGISTRY, executor=noting)
    session.run(TREE)
    [(plan, run_context, has_room)] = made
    assert plan.targets == ("sink", "other")
    assert run_context.cache is session.cache
    assert has_room == session.services.has_room_for
