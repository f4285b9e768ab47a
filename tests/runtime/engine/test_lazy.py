"""Lazy inputs: computed if asked for, when asked for, once."""

from typing import Any

import pytest
from conformance.integer_nodes import REGISTRY, Add, Const, Inc, Integer, Sink, Switch
from engine import Engine, workflow

from run_graph.graph import Context, Field, Lazy, Node, Registry, Workflow
from run_graph.runtime.cache import NoCache
from run_graph.runtime.errors import NodeFailed


def value(result: Any, node_id: str) -> Any:
    return result.outputs(node_id).value


def switch(cond: Any, **extra: Any) -> Workflow:
    return workflow(
        cond=(Const, {"value": cond}),
        yes=(Const, {"value": 100}),
        no=(Const, {"value": 200}),
        yes1=(Inc, {"x": "@yes"}),
        no1=(Inc, {"x": "@no"}),
        switch=(Switch, {"cond": "@cond", "on_true": "@yes1", "on_false": "@no1"}),
        sink=(Sink, {"x": "@switch"}),
        **extra,
    )


@pytest.mark.parametrize(("cond", "expected", "ran"), [(1, 101, ["yes", "yes1"]), (0, 201, ["no", "no1"])])
def test_only_the_branch_that_is_asked_for_runs(cond: int, expected: int, ran: list[str]) -> None:
    engine = Engine(REGISTRY)
    assert value(engine.run(switch(cond)), "sink") == expected
    assert engine.ran == ["cond", *ran, "switch", "sink"]


def test_nested_lazy_inputs_run_one_path() -> None:
    engine = Engine(REGISTRY, NoCache())
    given = switch(
        1,
        no2=(Const, {"value": 300}),
        outer=(Switch, {"cond": 0, "on_true": "@no2", "on_false": "@switch"}),
        outer_sink=(Sink, {"x": "@outer"}),
    )
    assert value(engine.run(given, ["outer_sink"]), "outer_sink") == 101
    assert engine.ran == ["cond", "yes", "yes1", "switch", "outer", "outer_sink"]


def test_a_lazy_source_that_an_eager_node_reads_runs_once() -> None:
    for cond, expected in ((0, 201), (1, 101)):
        engine = Engine(REGISTRY, NoCache())
        result = engine.run(switch(cond, also=(Sink, {"x": "@no1"})))
        assert (value(result, "sink"), value(result, "also")) == (expected, 201)
        assert len(engine.ran) == len(set(engine.ran))
        assert ("yes1" in engine.ran) == bool(cond)


def test_ancestors_of_a_late_demand_are_kept() -> None:
    """``shared`` is done long before the switch asks for the branch that also reads it."""
    slow = {f"c{i}": (Inc, {"x": f"@c{i - 1}"}) for i in range(1, 20)}
    engine = Engine(REGISTRY, NoCache())
    result = engine.run(
        workflow(
            base=(Const, {"value": 7}),
            shared=(Inc, {"x": "@base"}),
            early=(Sink, {"x": "@shared"}),
            branch=(Add, {"a": "@shared", "b": "@base"}),
            c0=(Const, {"value": 1}),
            **slow,
            switch=(Switch, {"cond": "@c19", "on_true": "@branch", "on_false": "@base"}),
            late=(Sink, {"x": "@switch"}),
        )
    )
    assert (value(result, "early"), value(result, "late")) == (8, 15)
    assert len(engine.ran) == len(set(engine.ran))
    assert engine.ran.index("early") < engine.ran.index("c19") < engine.ran.index("branch")


def test_both_branches_from_one_source_run_it_once() -> None:
    engine = Engine(REGISTRY, NoCache())
    same = workflow(
        a=(Const, {"value": 3}),
        s=(Switch, {"cond": "@a", "on_true": "@a", "on_false": "@a"}),
        t=(Sink, {"x": "@s"}),
    )
    assert value(engine.run(same), "t") == 3
    assert engine.ran == ["a", "s", "t"]


def test_lazy_literals_need_no_demand() -> None:
    given = workflow(s=(Switch, {"cond": 1, "on_true": 5, "on_false": 6}), t=(Sink, {"x": "@s"}))
    assert value(Engine(REGISTRY).run(given), "t") == 5


def test_a_cached_reader_keeps_its_lazy_sources_from_running() -> None:
    engine = Engine(REGISTRY)
    engine.run(switch(1))
    engine.run(switch(1, more=(Add, {"a": "@switch", "b": 1})), ["more"])
    assert engine.ran == ["more"]


class Stubborn(Node):
    """Asks for inputs in an odd way."""

    asked: Any = None
    late: Lazy[int] = Field(default=0)

    def required_lazy_inputs(self) -> Any:
        return self.asked

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.late)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("late", "required_lazy_inputs must return a collection of input names, not 'late'"),
        (["latte"], "required_lazy_inputs named 'latte', which is not an input. Did you mean 'late'?"),
    ],
)
def test_a_node_that_asks_for_unknown_inputs_fails(asked: Any, message: str) -> None:
    engine = Engine(Registry([Stubborn, Const]))
    given = workflow(c=(Const, {"value": 1}), s=(Stubborn, {"late": "@c", "asked": {"__value__": asked}}))
    with pytest.raises(NodeFailed) as error:
        engine.run(given, ["s"])
    assert message in str(error.value)
