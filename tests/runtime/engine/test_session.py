"""A session: what one run leaves for the next, services, and what nodes know about the run."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from conformance.integer_nodes import REGISTRY, Add, Const, Inc, Sink
from engine import TREE, Engine, workflow
from sample_nodes import Image, Kept

from run_graph.graph import Context, Environment, Field, Node, Outputs, Registry, Workflow, WorkflowError
from run_graph.runtime.cache import MemoryCache, NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session, default_session, run
from run_graph.runtime.events import NodeStarted


def test_an_identical_second_run_computes_nothing() -> None:
    engine = Engine(REGISTRY)
    first = engine.run(TREE)
    second = engine.run(Workflow.from_json(TREE.to_json()))
    assert engine.ran == []
    assert second.by_node == first.by_node


def test_one_literal_changed_runs_only_what_depends_on_it() -> None:
    engine = Engine(REGISTRY)
    engine.run(TREE)
    result = engine.run(TREE.with_input("a", "value", 10))
    assert set(engine.ran) == {"a", "left", "join", "sink"}
    assert result.outputs("sink").value == 14  # type: ignore[attr-defined]


def test_going_back_to_an_earlier_workflow_computes_nothing() -> None:
    engine = Engine(REGISTRY)
    engine.run(TREE)
    engine.run(TREE.with_input("a", "value", 10))
    engine.run(TREE)
    assert engine.ran == []


def test_nodes_that_did_not_change_serve_other_workflows() -> None:
    engine = Engine(REGISTRY)
    engine.run(TREE)
    engine.run(workflow(x=(Const, {"value": 1}), y=(Inc, {"x": "@x"}), z=(Add, {"a": "@y", "b": 100})), ["z"])
    assert engine.ran == ["z"]


def test_a_volatile_node_runs_every_time_and_what_reads_it_when_its_value_changed() -> None:
    class Counts(Node):
        """How often it ran, in steps of two."""

        def fingerprint(self, env: Environment) -> Any:
            return next(ticks)

        def run(self, ctx: Context) -> Kept:
            return Kept(value=next(runs) // 2)

    ticks, runs = itertools.count(), itertools.count()
    engine = Engine(Registry([Counts, Inc, Sink]))
    given = workflow(v=(Counts, {}), i=(Inc, {"x": "@v"}), s=(Sink, {"x": "@i"}))
    ran = []
    for _ in range(5):
        engine.run(given)
        ran.append(engine.ran)
    assert ran == [["v", "i", "s"], ["v"], ["v", "i", "s"], ["v"], ["v", "i", "s"]]


def test_a_result_that_was_evicted_is_computed_again() -> None:
    engine = Engine(REGISTRY, MemoryCache(maximum_bytes=0))
    engine.run(TREE)
    engine.run(TREE)
    assert len(engine.ran) == 7


class FileNode(Node):
    """Reads a file; its content is part of the key."""

    is_output = True
    name: str

    def fingerprint(self, env: Environment) -> Any:
        return env.find_input(self.name).read_text()

    def run(self, ctx: Context) -> Kept:
        return Kept(value=ctx.find_input(self.name).read_text())


def test_files_are_compared_by_content(tmp_path: Path) -> None:
    session, ran = Session(Registry([FileNode])), []

    def run(folder: Path) -> Any:
        ran.clear()
        result = session.run(
            workflow(f=(FileNode, {"name": "note.txt"})),
            environment=RunEnvironment([folder], folder),
            on_event=lambda e: ran.append(e.node_id) if isinstance(e, NodeStarted) else None,
        )
        return result.outputs("f").value  # type: ignore[attr-defined]

    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "note.txt").write_text("first")
    assert (run(one), ran) == ("first", ["f"])
    assert (run(two), ran) == ("first", [])  # the same content elsewhere
    (one / "note.txt").write_text("second")
    assert (run(one), ran) == ("second", ["f"])
    (one / "note.txt").unlink()
    with pytest.raises(WorkflowError, match=r"node 'f' \(FileNode\): .*note\.txt"):
        run(one)


def test_the_callers_workflow_is_never_changed() -> None:
    class Spoils(Node):
        """Changes what it is given."""

        is_output = True
        value: Any

        def run(self, ctx: Context) -> Kept:
            self.value["list"].append("spoilt")
            return Kept(value=len(self.value["list"]))

    given = workflow(s=(Spoils, {"value": {"list": [1]}}), a=(Const, {"value": 1}))
    before = given.to_json()
    engine = Engine(Registry([Spoils, Const]), NoCache())
    for _ in range(2):
        assert engine.run(given).outputs("s").value == 2  # type: ignore[attr-defined]
    assert given.to_json() == before


def test_what_a_node_does_to_its_inputs_does_not_reach_the_cache() -> None:
    class Lists(Node):
        def run(self, ctx: Context) -> Kept:
            return Kept(value=[1, {"deep": [2]}])

    class Appends(Node):
        given: Any
        seed: int

        def run(self, ctx: Context) -> Kept:
            self.given[1]["deep"].append(3)
            return Kept(value=len(self.given[1]["deep"]))

    engine = Engine(Registry([Lists, Appends]))
    given = workflow(
        l=(Lists, {}), a=(Appends, {"given": "@l", "seed": 1}), b=(Appends, {"given": "@l", "seed": 2})
    )
    result = engine.run(given, ["l", "a", "b"])
    lists, *lengths = (result.outputs(node_id).value for node_id in "lab")  # type: ignore[attr-defined]
    assert lists == [1, {"deep": [2]}]
    assert lengths == [2, 2]


def test_cached_values_are_handed_out_as_they_are() -> None:
    class Makes(Outputs):
        image: Image

    class Make(Node):
        is_output = True

        def run(self, ctx: Context) -> Makes:
            return Makes(image=Image("once"))

    engine = Engine(Registry([Make]))
    first, second = (engine.run(workflow(m=(Make, {}))).outputs("m") for _ in range(2))
    assert first is second


class Counter:
    """A service: something that nodes share."""

    def __init__(self) -> None:
        self.count = 0


class UsesService(Node):
    """Counts with the session's counter."""

    is_output = True
    seed: int = Field(default=0)

    def run(self, ctx: Context) -> Kept:
        counter = ctx.service(Counter)
        counter.count += 1
        return Kept(value=counter.count)


def test_services_are_made_once_and_live_as_long_as_the_session() -> None:
    session = Session(Registry([UsesService]), NoCache())
    given = workflow(a=(UsesService, {"seed": 1}), b=(UsesService, {"seed": 2}))
    session.run(given)
    session.run(given)
    assert session.services.get(Counter).count == 4
    other = Session(Registry([UsesService]), NoCache())
    assert other.run(given).outputs("b").value == 2  # type: ignore[attr-defined]


def test_a_given_service_is_used_instead_of_a_new_one() -> None:
    counter = Counter()
    counter.count = 100
    session = Session(Registry([UsesService]), services=Services(counter))
    assert session.run(workflow(a=(UsesService, {}))).outputs("a").value == 101  # type: ignore[attr-defined]


class Describes(Node):
    """What the context says about the run."""

    is_output = True
    x: int = Field(default=5, description="A number.")
    y: Any = None

    def run(self, ctx: Context) -> Kept:
        return Kept(value={**ctx.provenance(), "folder": str(ctx.output_directory), "id": ctx.node_id})


def test_a_node_can_write_the_run_beside_its_result(tmp_path: Path) -> None:
    session = Session(Registry([Describes, Const]))
    given = workflow(c=(Const, {"value": 1}), t=(Describes, {"y": "@c"}), stray=(Const, {"value": 3}))
    result = session.run(given, targets=["t"], environment=RunEnvironment([tmp_path], tmp_path / "out"))
    description = result.outputs("t").value  # type: ignore[attr-defined]
    assert description["id"] == "t"
    assert description["folder"] == str(tmp_path / "out")
    assert description["prompt"] == {
        "c": {"class_type": "Const", "inputs": {"value": 1}},
        "t": {"class_type": "Describes", "inputs": {"x": 5, "y": ["c", 0]}},
    }
    assert set(description["seconds"]) == {"c"}
    assert {"run-graph", "python"} <= set(description["versions"])


def test_the_process_has_one_session_of_its_own(tmp_path: Path) -> None:
    registry = Registry([UsesService])
    given = workflow(a=(UsesService, {"seed": 77}))
    first = run(given, registry=registry, output_directory=tmp_path)
    second = run(given, registry=registry, output_directory=tmp_path)
    assert first.outputs("a") is second.outputs("a")
    assert default_session() is default_session()
