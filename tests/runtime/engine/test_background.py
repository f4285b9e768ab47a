"""Files are written on a second thread while the next stage computes; nothing else changes."""

import threading
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, workflow

from run_graph.graph import Context, Field, Node, Outputs, Registry, SocketValue, Workflow
from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, FileSaved, NodeErred, NodeFinished, NodeProgress, NodeStarted
from run_graph.runtime.files.atomic import SaveError

WAIT = 20  # seconds that a node waits for another before it gives up


class Model(SocketValue):
    """A light handle."""

    socket_type = "MODEL"

    @property
    def affinity(self) -> Hashable:
        return "model"


class Loaded(Outputs):
    model: Model


class Load(Node):
    """A handle."""

    def run(self, ctx: Context) -> Loaded:
        return Loaded(model=Model())


class Value(Outputs):
    value: int


class Meeting:
    """Lets two nodes wait for each other, and remembers which thread each ran on."""

    computing = threading.Event()
    written = threading.Event()
    heard = threading.Event()
    taken = threading.Event()
    threads: dict[str, threading.Thread]
    written_in_order: list[int]


class Compute(Node):
    """A stage with a model. The second one waits until the first one's file is written."""

    model: Model
    value: int = Field(description="Its number.")
    fails: bool = False

    def run(self, ctx: Context) -> Value:
        Meeting.threads[ctx.node_id] = threading.current_thread()
        if self.value == 2:
            Meeting.computing.set()
            assert Meeting.written.wait(WAIT)
            ctx.progress(1, 1)
        if self.fails:
            raise ValueError("no such colour")
        return Value(value=self.value)


class Write(Node):
    """Writes a file. The first one waits until the second stage computes."""

    is_output = True
    runs_in_background = True

    value: int = Field(description="What is written.")
    fails: bool = False

    def run(self, ctx: Context) -> Value:
        Meeting.threads[ctx.node_id] = threading.current_thread()
        if self.value == 1:
            assert Meeting.computing.wait(WAIT)
            ctx.progress(1, 1)
            Meeting.written.set()
        if self.fails:
            raise OSError("the disk is full")
        return Value(value=self.value * 10)


REGISTRY = Registry([Load, Compute, Write])


@pytest.fixture(autouse=True)
def _meeting() -> None:
    for event in (Meeting.written, Meeting.computing, Meeting.heard, Meeting.taken):
        event.clear()
    Meeting.threads = {}


def pictures(count: int, *, write_fails: int = 0, compute_fails: int = 0) -> Workflow:
    nodes: dict[str, Any] = {"model": (Load, {})}
    for i in range(1, count + 1):
        nodes[f"compute{i}"] = (Compute, {"model": "@model", "value": i, "fails": i == compute_fails})
        nodes[f"write{i}"] = (Write, {"value": f"@compute{i}", "fails": i == write_fails})
    return workflow(**nodes)


def ids_of(engine: Engine, kind: type[Event]) -> list[str]:
    return [event.node_id for event in engine.events if isinstance(event, kind)]  # type: ignore[attr-defined]


def test_a_file_is_written_while_the_next_stage_computes() -> None:
    engine = Engine(REGISTRY)
    result = engine.run(pictures(3))
    assert [outputs.__dict__["value"] for outputs in result.by_node.values()] == [10, 20, 30]
    main = threading.current_thread()
    assert {node_id for node_id, thread in Meeting.threads.items() if thread is not main} == {
        "write1",
        "write2",
    }  # nothing could run beside the last
    assert engine.kinds[-1] == "run_finished"
    assert sorted(ids_of(engine, NodeFinished)) == sorted(engine.ran)


class Slow(Node):
    """Writes a file; the first takes longer than all that follows."""

    is_output = True
    runs_in_background = True

    value: int = Field(description="What is written.")

    def run(self, ctx: Context) -> Value:
        if self.value == 1:
            time.sleep(0.3)
        Meeting.written_in_order.append(self.value)
        return Value(value=self.value)


def test_the_last_file_is_written_after_those_before_it_though_nothing_runs_beside_it() -> None:
    Meeting.written_in_order = []
    Engine(Registry([Slow])).run(workflow(a=(Slow, {"value": 1}), b=(Slow, {"value": 2})))
    assert Meeting.written_in_order == [1, 2]


def test_all_events_are_sent_from_the_callers_thread_in_an_order_that_makes_sense() -> None:
    engine = Engine(REGISTRY)
    threads: set[threading.Thread] = set()
    engine.run(pictures(2), on_event=lambda event: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}
    for node_id in ("write1", "compute2"):
        kinds = [event.kind for event in engine.events if getattr(event, "node_id", "") == node_id]
        assert kinds == ["node_started", "node_progress", "node_finished"]
    assert ids_of(engine, NodeProgress) == ["compute2", "write1"]


def test_what_was_written_is_in_the_cache() -> None:
    engine = Engine(REGISTRY, MemoryCache())
    engine.run(pictures(2))
    engine.run(pictures(2))
    assert engine.ran == []
    assert set(engine.reused("cache")) >= {"write1", "write2"}


def test_a_file_that_cannot_be_written_ends_the_run_and_is_named() -> None:
    engine = Engine(REGISTRY)
    with pytest.raises(NodeFailed, match=r"node 'write1' \(Write\) failed: the disk is full") as caught:
        engine.run(pictures(3, write_fails=1))
    assert caught.value.inputs["value"] == "1"
    assert ids_of(engine, NodeErred) == ["write1"]
    assert "compute3" not in engine.ran
    assert engine.kinds[-1] == "run_finished"


def test_a_stage_that_fails_leaves_the_file_before_it_written() -> None:
    engine = Engine(REGISTRY)
    with pytest.raises(NodeFailed, match="no such colour"):
        engine.run(pictures(3, compute_fails=2))
    assert "write1" in ids_of(engine, NodeFinished)
    assert ids_of(engine, NodeErred) == ["compute2"]


def test_a_run_that_is_cancelled_leaves_the_file_before_it_written() -> None:
    engine = Engine(REGISTRY)

    def cancel(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.node_id == "compute2":
            engine.token.cancel()

    with pytest.raises(Cancelled):
        engine.run(pictures(3), on_event=cancel)
    assert "write1" in ids_of(engine, NodeFinished)
    assert "compute3" not in ids_of(engine, NodeStarted)


class WriteInParts(Write):
    """Writes a file, and another one after the next stage has heard of the first."""

    def run(self, ctx: Context) -> Value:
        if self.value == 1:
            assert Meeting.computing.wait(WAIT)
            ctx.file_saved(Path("first.png"))
            Meeting.written.set()
            assert Meeting.heard.wait(WAIT)
        return Value(value=0)


class ComputeInSteps(Compute):
    """Reports steps until somebody has heard of the file."""

    def run(self, ctx: Context) -> Value:
        if self.value == 2:
            Meeting.computing.set()
            assert Meeting.written.wait(WAIT)
            for step in range(1000):
                ctx.progress(step, 1000)
                if Meeting.taken.wait(0.01):
                    break
        return Value(value=self.value)


def in_steps() -> Workflow:
    return workflow(
        model=(Load, {}),
        compute1=(ComputeInSteps, {"model": "@model", "value": 1}),
        compute2=(ComputeInSteps, {"model": "@model", "value": 2}),
        write1=(WriteInParts, {"value": "@compute1"}),
        write2=(WriteInParts, {"value": "@compute2"}),
    )


IN_STEPS = Registry([Load, ComputeInSteps, WriteInParts])


def test_a_file_is_reported_while_the_next_stage_computes() -> None:
    engine = Engine(IN_STEPS)

    def listen(event: Event) -> None:
        if isinstance(event, FileSaved):
            Meeting.heard.set()
        elif isinstance(event, NodeFinished) and event.node_id == "write1":
            Meeting.taken.set()

    engine.run(in_steps(), on_event=listen)
    order = [
        (event.kind, event.node_id)  # type: ignore[attr-defined]
        for event in engine.events
        if event.kind in ("file_saved", "node_finished")
    ]
    assert order[-4:] == [
        ("file_saved", "write1"),
        ("node_finished", "write1"),
        ("node_finished", "compute2"),
        ("node_finished", "write2"),
    ]


def test_what_fails_while_a_file_is_reported_is_not_the_fault_of_the_stage_that_computes() -> None:
    engine = Engine(IN_STEPS)

    def listen(event: Event) -> None:
        if isinstance(event, FileSaved):
            Meeting.heard.set()
            raise SaveError("the disk is full")

    with pytest.raises(SaveError, match="the disk is full"):
        engine.run(in_steps(), on_event=listen)
    assert ids_of(engine, NodeErred) == []


def test_no_thread_is_left_running() -> None:
    before = threading.active_count()
    Engine(REGISTRY).run(pictures(2))
    assert threading.active_count() == before
