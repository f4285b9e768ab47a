"""The stream of events: in order, complete, the last always ``run_finished``, plain JSON."""

import json
from typing import Any

import pytest
from conformance.integer_nodes import REGISTRY as INTEGERS
from conformance.integer_nodes import Const, Inc, Sink
from engine import Engine, workflow
from sample_nodes import Kept

from run_graph.graph import Context, Field, Node, Registry, WorkflowError
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import (
    Event,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeReused,
    NodeStarted,
    RunFinished,
    RunStarted,
)


class Steps(Node):
    """Reports progress, then ends as it is told."""

    is_output = True

    steps: int = Field(default=3, description="How many steps.")
    end: str = Field(default="done", description="How it ends.")

    def run(self, ctx: Context) -> Kept:
        for step in range(1, self.steps + 1):
            ctx.progress(step, self.steps, preview=object())
        if self.end == "fail":
            raise ValueError("too bad")
        if self.end == "interrupt":
            raise KeyboardInterrupt
        return Kept(value=ctx.node_id)


REGISTRY = Registry([*INTEGERS.values(), Steps])
CHAIN = workflow(one=(Const, {"value": 1}), two=(Inc, {"x": "@one"}), sink=(Sink, {"x": "@two"}))


def test_a_run_tells_each_node_in_order() -> None:
    engine = Engine(REGISTRY)
    engine.run(CHAIN)
    assert [(event.kind, getattr(event, "node_id", None)) for event in engine.events] == [
        ("run_started", None),
        ("node_started", "one"),
        ("node_finished", "one"),
        ("node_started", "two"),
        ("node_finished", "two"),
        ("node_started", "sink"),
        ("node_finished", "sink"),
        ("run_finished", None),
    ]


def test_each_event_carries_its_facts() -> None:
    engine = Engine(REGISTRY)
    engine.run(CHAIN)
    started, finished = engine.events[0], engine.events[-1]
    assert started == RunStarted(nodes=3, targets=("sink",))
    assert isinstance(finished, RunFinished)
    assert finished.status == "done"
    assert finished.seconds >= 0
    assert engine.events[3] == NodeStarted("two", "Inc")
    done = engine.events[4]
    assert isinstance(done, NodeFinished)
    assert (done.class_type, done.result) == ("Inc", {"value": 2})
    assert 0 <= done.seconds <= finished.seconds


def test_progress_comes_between_start_and_end_of_its_node() -> None:
    engine = Engine(REGISTRY)
    engine.run(workflow(steps=(Steps, {"steps": 2})))
    assert engine.kinds == [
        "run_started",
        "node_started",
        "node_progress",
        "node_progress",
        "node_finished",
        "run_finished",
    ]
    progress = engine.events[2]
    assert isinstance(progress, NodeProgress)
    assert (progress.node_id, progress.value, progress.maximum) == ("steps", 1, 2)
    assert progress.preview is not None


def test_a_second_run_tells_what_it_reused() -> None:
    engine = Engine(REGISTRY)
    engine.run(CHAIN)
    engine.run(CHAIN)
    assert engine.events[1:-1] == [NodeReused("sink", "Sink", "cache", {"value": 2})]


def test_a_twin_is_told_after_the_node_that_ran_for_it() -> None:
    engine = Engine(REGISTRY)
    engine.run(workflow(a=(Sink, {"x": 1}), b=(Sink, {"x": 1})))
    assert engine.kinds == ["run_started", "node_started", "node_finished", "node_reused", "run_finished"]
    assert engine.events[3] == NodeReused("b", "Sink", "duplicate", {"value": 1})


def test_a_twin_of_a_cached_node_is_told_too() -> None:
    engine = Engine(REGISTRY)
    given = workflow(a=(Sink, {"x": 1}), b=(Sink, {"x": 1}))
    engine.run(given)
    engine.run(given)
    assert [(e.node_id, e.origin) for e in engine.events if isinstance(e, NodeReused)] == [
        ("a", "cache"),
        ("b", "duplicate"),
    ]


def last(engine: Engine) -> RunFinished:
    assert [kind == "run_finished" for kind in engine.kinds] == [False] * (len(engine.kinds) - 1) + [True]
    event = engine.events[-1]
    assert isinstance(event, RunFinished)
    return event


def test_a_failed_run_says_so_last() -> None:
    engine = Engine(REGISTRY)
    with pytest.raises(NodeFailed):
        engine.run(workflow(s=(Steps, {"end": "fail", "steps": 1})))
    assert engine.kinds[-2:] == ["node_failed", "run_finished"]
    assert engine.events[-2] == NodeErred("s", "Steps", "ValueError", "too bad")
    assert last(engine).status == "failed"


def test_an_interrupted_run_says_so_last() -> None:
    engine = Engine(REGISTRY)
    with pytest.raises(KeyboardInterrupt):
        engine.run(workflow(s=(Steps, {"end": "interrupt"})))
    assert "node_failed" not in engine.kinds
    assert last(engine).status == "interrupted"


def test_a_cancelled_run_says_so_last() -> None:
    engine = Engine(REGISTRY)
    with pytest.raises(Cancelled):
        engine.run(workflow(s=(Steps, {"steps": 5})), on_event=lambda e: cancel_at(engine, e, 2))
    assert "node_failed" not in engine.kinds
    assert last(engine).status == "interrupted"


def cancel_at(engine: Engine, event: Event, step: int) -> None:
    if isinstance(event, NodeProgress) and event.value == step:
        engine.token.cancel()


def test_a_workflow_with_faults_has_no_run_and_no_events() -> None:
    engine = Engine(REGISTRY)
    with pytest.raises(WorkflowError):
        engine.run(workflow(s=(Steps, {"steps": "many"})))
    assert engine.events == []


@pytest.mark.parametrize("kind", ["run_started", "node_started", "node_finished", "node_reused"])
def test_a_listener_that_raises_ends_the_run_and_no_node_is_blamed(kind: str) -> None:
    engine = Engine(REGISTRY)

    def listener(event: Event) -> None:
        if event.kind == kind:
            raise BrokenPipeError("nobody listens")

    with pytest.raises(BrokenPipeError, match="nobody listens"):
        engine.run(workflow(a=(Sink, {"x": 1}), b=(Sink, {"x": 1})), on_event=listener)
    assert "node_failed" not in engine.kinds
    assert last(engine).status == "failed"


def test_every_event_is_plain_json() -> None:
    engine = Engine(REGISTRY)
    given = workflow(steps=(Steps, {}), a=(Sink, {"x": 1}), b=(Sink, {"x": 1}))
    engine.run(given)
    lines: list[dict[str, Any]] = [json.loads(json.dumps(event.to_json())) for event in engine.events]
    assert [line["event"] for line in lines] == engine.kinds
    assert lines[0] == {"event": "run_started", "nodes": 3, "targets": ["steps", "a", "b"]}
    (progress, *_) = (line for line in lines if line["event"] == "node_progress")
    assert progress == {"event": "node_progress", "node_id": "steps", "value": 1, "maximum": 3}
