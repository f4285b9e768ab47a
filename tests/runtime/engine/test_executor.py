"""The executor: what runs, how often and in which order."""

import time
from typing import Any

from conformance.integer_nodes import REGISTRY, Add, Const, DivMod, Inc, Sink
from engine import Engine, workflow

from run_graph.graph import Link, NodeSpec, Workflow
from run_graph.runtime.cache import NoCache

DIAMOND = workflow(
    one=(Const, {"value": 1}),
    left=(Inc, {"x": "@one"}),
    right=(Add, {"a": "@one", "b": 10}),
    join=(Add, {"a": "@left", "b": "@right"}),
    sink=(Sink, {"x": "@join"}),
    stray=(Const, {"value": 5}),
)


def value(result: Any, node_id: str) -> Any:
    return result.outputs(node_id).value


def test_only_the_ancestors_of_the_targets_run_each_once() -> None:
    engine = Engine(REGISTRY)
    assert value(engine.run(DIAMOND), "sink") == 13
    assert sorted(engine.ran) == ["join", "left", "one", "right", "sink"]
    engine = Engine(REGISTRY)
    assert value(engine.run(DIAMOND, ["left"]), "left") == 2
    assert engine.ran == ["one", "left"]


def test_sources_run_before_their_readers() -> None:
    engine = Engine(REGISTRY)
    engine.run(DIAMOND)
    for node_id in engine.ran:
        assert set(DIAMOND.nodes[node_id].upstream) <= set(engine.ran[: engine.ran.index(node_id)])


def test_any_nodes_may_be_targets_in_any_number() -> None:
    result = Engine(REGISTRY).run(DIAMOND, ["right", "sink", "right", "stray"])
    assert {node_id: value(result, node_id) for node_id in result.by_node} == {
        "right": 11,
        "sink": 13,
        "stray": 5,
    }


def test_every_output_of_a_node_reaches_the_reader_of_its_slot() -> None:
    result = Engine(REGISTRY).run(
        workflow(
            division=(DivMod, {"a": 17, "b": 5}),
            quotient=(Sink, {"x": "@division.quotient"}),
            remainder=(Sink, {"x": "@division.remainder"}),
        )
    )
    assert (value(result, "quotient"), value(result, "remainder")) == (3, 2)


def test_one_output_may_feed_two_inputs_of_a_node() -> None:
    result = Engine(REGISTRY, NoCache()).run(
        workflow(a=(Const, {"value": 4}), s=(Add, {"a": "@a", "b": "@a"})), ["s"]
    )
    assert value(result, "s") == 8


def test_identical_nodes_run_once_and_all_get_the_result() -> None:
    engine = Engine(REGISTRY, NoCache())
    result = engine.run(
        workflow(
            a=(Const, {"value": 1}),
            b=(Const, {"value": 1}),
            c=(Inc, {"x": "@a"}),
            d=(Inc, {"x": "@b"}),
            s=(Sink, {"x": "@c"}),
            t=(Sink, {"x": "@d"}),
        )
    )
    assert len(engine.ran) == 3
    assert (value(result, "s"), value(result, "t")) == (2, 2)
    assert len(engine.reused("duplicate")) == 3
    assert {*engine.ran, *engine.reused("duplicate")} == {"a", "b", "c", "d", "s", "t"}


def chain(length: int) -> Workflow:
    nodes = {f"n{i}": NodeSpec("Inc", {"x": Link(f"n{i - 1}")}) for i in range(1, length)}
    return Workflow({"n0": NodeSpec("Const", {"value": 1}), **nodes})


def test_a_chain_of_20_000_nodes_runs() -> None:
    started = time.process_time()
    engine = Engine(REGISTRY)
    result = engine.run(chain(20_000), ["n19999"])
    assert value(result, "n19999") == 20_000
    assert len(engine.ran) == 20_000
    engine.run(chain(20_000), ["n19999"])
    assert engine.ran == []
    assert time.process_time() - started < 20


def test_a_fan_of_5_000_nodes_runs() -> None:
    started = time.process_time()
    fan = {f"f{i}": NodeSpec("Add", {"a": Link("one"), "b": i}) for i in range(5000)}
    nodes = {"one": NodeSpec("Const", {"value": 1}), **fan}
    result = Engine(REGISTRY).run(Workflow(nodes), list(fan))
    assert [value(result, node_id) for node_id in fan] == list(range(1, 5001))
    assert time.process_time() - started < 10
