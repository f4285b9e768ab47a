"""InvokeAI's behaviour, from its test_node_graph.py and test_graph_execution_state.py.

Only facts about behaviour come from there; each test names the case. Cases are left out if this engine does
not have the feature: iterators and collectors, workflows that call workflows, and graphs that are edited
in place.
"""

import json
from pathlib import Path

import pytest
from conformance.integer_nodes import REGISTRY as INTEGERS
from conformance.integer_nodes import Add, Const, Inc, Sink, Switch
from engine import Engine, workflow
from sample_nodes import REGISTRY as PICTURES
from sample_nodes import Blur, Keep, LoadPhoto, SavePhoto, Scale

from run_graph.graph import (
    Context,
    Graph,
    Link,
    Node,
    NodeSpec,
    Outputs,
    Registry,
    Workflow,
    load_workflow,
    parse_workflow,
    validate,
)
from run_graph.graph.sockets import compatible
from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.errors import NodeFailed


class Fraction(Outputs):
    value: float


class Half(Node):
    """Half of a number."""

    x: float

    def run(self, ctx: Context) -> Fraction:
        return Fraction(value=self.x / 2)


REGISTRY = Registry([*INTEGERS.values(), *PICTURES.values(), Half])


def codes(given: Workflow, *targets: str) -> list[str]:
    return [fault.code for fault in validate(given, REGISTRY, targets or list(given.nodes))]


# test_node_graph.py


def test_connections_are_compatible_and_incompatible() -> None:
    """test_connections_are_(in)compatible: a picture feeds a picture, not a number."""
    assert codes(workflow(p=(LoadPhoto, {"name": "a"}), b=(Blur, {"image": "@p.image"}))) == []
    assert codes(workflow(p=(LoadPhoto, {"name": "a"}), b=(Blur, {"image": "@p", "radius": "@p"}))) == [
        "return_type_mismatch"
    ]


def test_connections_with_invalid_fields_are_faults() -> None:
    """test_connections_incompatible_with_invalid_fields: unknown output, unknown input."""
    assert codes(workflow(p=(LoadPhoto, {"name": "a"}), b=(Blur, {"image": "@p.picture"}))) == [
        "link_to_missing_output"
    ]
    assert codes(workflow(p=(LoadPhoto, {"name": "a"}), b=(Blur, {"image": "@p", "picture": "@p"}))) == [
        "unknown_input"
    ]


def test_a_graph_fails_to_add_a_node_with_a_duplicate_id() -> None:
    """test_graph_fails_to_add_node_with_duplicate_id."""
    g = Graph(REGISTRY)
    g.add(LoadPhoto(name="a"), id="1")
    with pytest.raises(ValueError, match="'1'"):
        g.add(LoadPhoto(name="b"), id="1")
    assert len(g) == 1


def test_a_node_that_feeds_itself_is_a_cycle() -> None:
    """test_graph_fails_to_add_edge_with_cycle."""
    assert codes(workflow(b=(Blur, {"image": "@b"}))) == ["dependency_cycle"]


def test_a_long_cycle_is_found_without_the_nodes_that_lead_into_it() -> None:
    """test_graph_fails_to_add_edge_with_long_cycle."""
    given = workflow(
        one=(LoadPhoto, {"name": "a"}), two=(Scale, {"image": "@three"}), three=(Blur, {"image": "@two"})
    )
    faults = validate(given, REGISTRY, ["three"])
    assert {fault.node_id for fault in faults} == {"two", "three"}


def test_a_link_to_a_missing_id_is_a_fault_in_either_direction() -> None:
    """test_graph_fails_to_add_edge_with_missing_node_id, ..._invalid_if_edges_reference_missing_nodes."""
    assert codes(workflow(b=(Blur, {"image": "@gone"}))) == ["link_to_missing_node"]
    with pytest.raises(ValueError, match="not in the graph"):
        Graph(REGISTRY).add(Blur(image=Link("gone")))  # type: ignore[arg-type]


def test_mismatched_types_are_refused_when_the_edge_is_made() -> None:
    """test_graph_fails_to_add_edge_with_mismatched_types."""
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="a"))
    with pytest.raises(ValueError, match="does not fit here"):
        g.add(Blur(image=photo.image, radius=photo.image))  # type: ignore[arg-type]


def test_an_input_has_one_source() -> None:
    """test_graph_fails_to_add_edge_when_destination_exists: here a second value cannot even be written."""
    with pytest.raises(Exception, match="'image' occurs more than once"):
        parse_workflow('{"b": {"class_type": "Blur", "inputs": {"image": ["a", 0], "image": ["c", 0]}}}')


def test_a_good_graph_validates() -> None:
    """test_graph_validates."""
    assert codes(workflow(p=(LoadPhoto, {"name": "a"}), s=(SavePhoto, {"image": "@p"}))) == []


def test_the_graph_as_a_networkx_graph() -> None:
    """test_graph_gets_networkx_graph."""
    digraph = workflow(p=(LoadPhoto, {"name": "a"}), s=(SavePhoto, {"image": "@p"})).digraph
    assert set(digraph.nodes) == {"p", "s"}
    assert set(digraph.edges) == {("p", "s")}


def test_a_graph_survives_a_json_round_trip(tmp_path: Path) -> None:
    """test_graph_can_serialize, test_graph_can_deserialize."""
    g = Graph(REGISTRY)
    photo = g.add(LoadPhoto(name="Banana sushi"), id="1")
    g.add(Blur(image=photo.image), id="2")
    g.save(tmp_path / "g.json")
    again = load_workflow(tmp_path / "g.json")
    assert set(again.nodes) == {"1", "2"}
    assert again.nodes["2"].inputs["image"] == Link("1", 0)
    assert Graph.from_workflow(again, REGISTRY) == g


@pytest.mark.parametrize(
    ("produced", "accepted", "fits"),
    [
        ("INT", "FLOAT", True),  # test_floats_accept_ints
        ("FLOAT", "INT", False),  # test_ints_do_not_accept_floats
        ("INT", "INT,FLOAT", True),  # test_polymorphic_accepts_single
        ("STRING", "INT,FLOAT", False),
        ("IMAGE", "*", True),  # test_any_accepts_integer and its like
        ("*", "IMAGE", True),
    ],
)
def test_the_type_table(produced: str, accepted: str, fits: bool) -> None:
    """test_floats_accept_ints, test_ints_do_not_accept_floats, test_any_accepts_*."""
    assert compatible(produced, accepted) is fits


def test_floats_accept_ints_but_not_the_reverse_in_a_graph() -> None:
    """The same two cases through validation and a run."""
    good = workflow(i=(Const, {"value": 3}), h=(Half, {"x": "@i"}))
    assert codes(good) == []
    assert Engine(REGISTRY).run(good, ["h"]).outputs("h").value == 1.5  # type: ignore[attr-defined]
    assert codes(workflow(h=(Half, {"x": 3}), i=(Inc, {"x": "@h"}))) == ["return_type_mismatch"]
    assert codes(workflow(h=(Half, {"x": 3}))) == []
    assert codes(workflow(i=(Inc, {"x": 1.5}))) == ["invalid_input_type"]


def test_any_accepts_everything() -> None:
    """test_any_accepts_integer, _string, _any."""
    for source in ((Const, {"value": 1}), (LoadPhoto, {"name": "a"}), (Keep, {"value": "x"})):
        assert codes(workflow(s=source, k=(Keep, {"value": "@s"}))) == []


# test_graph_execution_state.py


CHAIN = workflow(
    one=(Const, {"value": 1}),
    two=(Inc, {"x": "@one"}),
    three=(Add, {"a": "@one", "b": "@two"}),
    end=(Sink, {"x": "@three"}),
)


def test_nodes_run_in_order_each_once() -> None:
    """test_graph_state_executes_in_order, test_graph_is_complete."""
    engine = Engine(REGISTRY)
    result = engine.run(CHAIN)
    assert engine.ran == ["one", "two", "three", "end"]
    assert result.outputs("end").value == 3  # type: ignore[attr-defined]


def test_a_run_resumes_after_a_round_trip_of_the_graph() -> None:
    """Execution state that is stored and loaded again resumes after the nodes that are finished.

    Here the results are in the cache, so only the workflow has to be stored and loaded.
    """
    broken = True

    class Fragile(Node):
        x: int

        def run(self, ctx: Context) -> Fraction:
            if broken:
                raise RuntimeError("not yet")
            return Fraction(value=self.x)

    registry, cache = Registry([*INTEGERS.values(), Fragile]), MemoryCache()
    before = Workflow({**CHAIN.nodes, "fragile": NodeSpec("Fragile", {"x": Link("three")})})
    with pytest.raises(NodeFailed):
        Engine(registry, cache).run(before, ["fragile"])
    broken = False
    after = parse_workflow(json.dumps(before.to_json()))
    engine = Engine(registry, cache)
    assert engine.run(after, ["fragile"]).outputs("fragile").value == 3  # type: ignore[attr-defined]
    assert engine.ran == ["fragile"]


@pytest.mark.parametrize(("condition", "expected", "skipped"), [(1, 11, "no"), (0, 21, "yes")])
def test_the_branch_that_was_not_selected_is_skipped(condition: int, expected: int, skipped: str) -> None:
    """The cases about IfInvocation: the other branch and its ancestors do not run."""
    given = workflow(
        c=(Const, {"value": condition}),
        yes0=(Const, {"value": 10}),
        no0=(Const, {"value": 20}),
        yes=(Inc, {"x": "@yes0"}),
        no=(Inc, {"x": "@no0"}),
        choice=(Switch, {"cond": "@c", "on_true": "@yes", "on_false": "@no"}),
        end=(Sink, {"x": "@choice"}),
    )
    engine = Engine(REGISTRY)
    assert engine.run(given).outputs("end").value == expected  # type: ignore[attr-defined]
    assert not {skipped, f"{skipped}0"} & set(engine.ran)


def test_a_node_that_both_branches_share_runs_once() -> None:
    """IfInvocation with a shared ancestor that is also used elsewhere."""
    engine = Engine(REGISTRY)
    engine.run(
        workflow(
            c=(Const, {"value": 0}),
            shared=(Const, {"value": 5}),
            yes=(Inc, {"x": "@shared"}),
            no=(Add, {"a": "@shared", "b": 1}),
            choice=(Switch, {"cond": "@c", "on_true": "@yes", "on_false": "@no"}),
            end=(Sink, {"x": "@choice"}),
            also=(Sink, {"x": "@shared"}),
        )
    )
    assert engine.ran.count("shared") == 1
    assert "yes" not in engine.ran
