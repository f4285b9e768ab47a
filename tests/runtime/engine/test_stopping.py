"""Cancelling and interrupting: at once, cleanly, and the next run resumes from there."""

import threading
from typing import ClassVar

import pytest
from conformance.integer_nodes import REGISTRY as INTEGERS
from conformance.integer_nodes import Const
from engine import TREE, Engine, workflow
from sample_nodes import Keep, Kept

from run_graph.graph import Context, Node, Registry
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, NodeInterrupted, NodeProgress


class Slow(Node):
    """Some steps, during which it can be stopped."""

    x: int = 0

    def run(self, ctx: Context) -> Kept:
        for step in range(10):
            ctx.progress(step + 1, 10)
        return Kept(value=self.x)


class Interrupts(Node):
    """Is interrupted by the user the given number of times."""

    x: int
    times: ClassVar[int] = 0

    def run(self, ctx: Context) -> Kept:
        if Interrupts.times:
            Interrupts.times -= 1
            raise KeyboardInterrupt
        return Kept(value=self.x)


REGISTRY = Registry([*INTEGERS.values(), Slow, Interrupts, Keep])


def test_cancelling_stops_within_a_nodes_steps_and_the_next_run_resumes() -> None:
    engine = Engine(REGISTRY)
    given = workflow(a=(Const, {"value": 1}), slow=(Slow, {"x": "@a"}), s=(Keep, {"value": "@slow"}))

    def cancel_at_three(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.value == 3:
            engine.token.cancel()

    with pytest.raises(Cancelled):
        engine.run(given, on_event=cancel_at_three)
    assert [event.value for event in engine.events if isinstance(event, NodeProgress)] == [1, 2, 3]
    assert engine.run(given).outputs("s").value == 1  # type: ignore[attr-defined]
    assert engine.ran == ["slow", "s"]  # nothing of the stopped node was kept, all before it was


def test_cancelling_between_nodes_stops_before_the_next() -> None:
    engine = Engine(REGISTRY)

    def cancel_after_first(event: Event) -> None:
        if event.kind == "node_finished":
            engine.token.cancel()
        if isinstance(event, NodeInterrupted):
            stopped.append(event)

    stopped: list[NodeInterrupted] = []
    with pytest.raises(Cancelled):
        engine.run(TREE, on_event=cancel_after_first)
    assert len(engine.ran) == 1
    [event] = stopped  # the node that would have run
    assert event.node_id in TREE.nodes
    assert event.node_id not in engine.ran
    assert (event.value, event.maximum) == (0, 0)


def test_a_token_that_was_cancelled_before_stops_the_run_at_once() -> None:
    token, started = CancelToken(), []
    token.cancel()
    with pytest.raises(Cancelled):
        Session(REGISTRY).run(TREE, token=token, on_event=started.append)
    assert [event.kind for event in started] == ["run_started", "node_interrupted", "run_finished"]


def test_another_thread_can_cancel() -> None:
    token = CancelToken()
    reached = threading.Event()

    class Waits(Node):
        is_output = True

        def run(self, ctx: Context) -> Kept:
            reached.set()
            for step in range(10_000):
                ctx.progress(step, 10_000)
                threading.Event().wait(0.001)
            return Kept(value=0)

    def cancel_soon() -> None:
        reached.wait()
        token.cancel()

    thread = threading.Thread(target=cancel_soon)
    thread.start()
    with pytest.raises(Cancelled):
        Session(Registry([Waits])).run(workflow(w=(Waits, {})), token=token)
    thread.join()


def test_an_interrupt_keeps_what_was_finished_and_nothing_of_the_node() -> None:
    engine = Engine(REGISTRY)
    given = workflow(a=(Const, {"value": 1}), i=(Interrupts, {"x": "@a"}), s=(Keep, {"value": "@i"}))
    Interrupts.times = 1
    with pytest.raises(KeyboardInterrupt):
        engine.run(given)
    assert engine.run(given).outputs("s").value == 1  # type: ignore[attr-defined]
    assert engine.ran == ["i", "s"]
