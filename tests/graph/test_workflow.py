"""The workflow as data: reading, writing, walking its links, equality, immutability."""

import json
import time

import pytest

from run_graph.graph import Link, NodeSpec, Workflow
from run_graph.graph.links import parse_link


def chain(length: int, *, closed: bool = False) -> Workflow:
    """n0 <- n1 <- n2 ...; if closed, n0 is also linked to the last."""
    nodes = {f"n{i}": NodeSpec("Inc", {"x": Link(f"n{i - 1}")}) for i in range(1, length)}
    nodes["n0"] = (
        NodeSpec("Inc", {"x": Link(f"n{length - 1}")}) if closed else NodeSpec("Const", {"value": 1})
    )
    return Workflow(nodes)


DIAMOND = Workflow.from_json(
    {
        "sink": {"class_type": "Sink", "inputs": {"x": ["join", 0]}},
        "join": {"class_type": "Add", "inputs": {"a": ["left", 0], "b": ["right", 0]}},
        "left": {"class_type": "Inc", "inputs": {"x": ["top", 0]}},
        "right": {"class_type": "Inc", "inputs": {"x": ["top", 0]}},
        "top": {"class_type": "Const", "inputs": {"value": 1}},
        "stray": {"class_type": "Const", "inputs": {"value": 2}},
    }
)


@pytest.mark.parametrize(
    ("value", "link"),
    [
        (["a", 0], Link("a", 0)),
        (["a", "image"], Link("a", "image")),
        (["a", 1.0], Link("a", 1)),  # JavaScript may write 1 as 1.0
        (["a", 0.5], None),
        (["a", True], None),
        (["a", None], None),
        ([1, 0], None),
        (["a"], None),
        (["a", 0, 0], None),
        (("a", 0), None),
        ("a", None),
        ({"__value__": ["a", 0]}, None),
    ],
)
def test_which_values_are_links(value: object, link: Link | None) -> None:
    assert parse_link(value) == link


def test_a_float_slot_becomes_a_whole_number() -> None:
    link = parse_link(["a", 1.0])
    assert link is not None
    assert isinstance(link.slot, int)


def test_json_round_trip_keeps_links_literals_titles_and_order() -> None:
    document = {
        "photo": {"class_type": "LoadImage", "inputs": {"image": "füchse.png"}, "_meta": {"title": "Foto"}},
        "2": {
            "class_type": "Mix",
            "inputs": {
                "image": ["photo", 0],
                "mask": ["photo", "mask"],
                "list": {"__value__": ["photo", 0]},
                "nothing": None,
                "truth": False,
                "number": 1.5,
                "deep": {"a": [1, {"b": 2}]},
            },
        },
        "empty": {"class_type": "Nothing", "inputs": {}},
    }
    workflow = Workflow.from_json(document)
    assert workflow.to_json() == document
    assert list(workflow.to_json()) == ["photo", "2", "empty"]
    assert json.loads(workflow.dumps()) == document
    assert Workflow.from_json(json.loads(workflow.dumps())) == workflow


def test_keys_that_are_not_part_of_the_format_are_dropped() -> None:
    node = {
        "class_type": "A",
        "inputs": {"x": 1},
        "is_changed": ["hash"],
        "_meta": {"title": "T", "pos": [1, 2]},
        "widgets_values": [1],
    }
    assert Workflow.from_json({"1": node}).to_json() == {
        "1": {"class_type": "A", "inputs": {"x": 1}, "_meta": {"title": "T"}}
    }


@pytest.mark.parametrize("meta", [{"title": 5}, {"title": None}, {"title": ["a"]}, {}, [], "title", None])
def test_a_title_that_is_not_text_is_ignored(meta: object) -> None:
    workflow = Workflow.from_json({"1": {"class_type": "A", "_meta": meta}})
    assert workflow.nodes["1"].title is None


def test_the_text_of_a_file_is_readable_and_deterministic() -> None:
    text = DIAMOND.dumps()
    assert '      "a": ["left", 0],\n' in text
    assert text == Workflow.from_json(json.loads(text)).dumps()
    assert text.endswith("}\n")
    assert json.loads(Workflow({}).dumps()) == {}


def test_workflows_are_equal_whatever_the_order_of_nodes_and_inputs() -> None:
    document = DIAMOND.to_json()
    backwards = {
        node_id: {**spec, "inputs": dict(reversed(spec["inputs"].items()))}
        for node_id, spec in reversed(document.items())
    }
    assert Workflow.from_json(backwards) == DIAMOND
    assert DIAMOND.with_input("top", "value", 9) != DIAMOND


def test_upstream_and_ancestors_have_each_linked_node_once() -> None:
    assert DIAMOND.nodes["join"].upstream == ("left", "right")
    assert DIAMOND.ancestors(["sink"]) == {"sink", "join", "left", "right", "top"}
    assert DIAMOND.ancestors(["left", "stray"]) == {"left", "top", "stray"}
    assert DIAMOND.ancestors(["nobody"]) == set()


def test_order_puts_every_source_before_its_readers() -> None:
    order = DIAMOND.order()
    assert order is not None
    assert sorted(order) == sorted(DIAMOND.nodes)
    position = {node_id: index for index, node_id in enumerate(order)}
    for node_id in DIAMOND.nodes:
        assert all(position[source] < position[node_id] for source in DIAMOND.nodes[node_id].upstream)


def test_links_to_missing_nodes_are_ignored_by_order_and_ancestors() -> None:
    workflow = Workflow.from_json({"a": {"class_type": "A", "inputs": {"x": ["gone", 0]}}})
    assert workflow.order() == ["a"]
    assert workflow.ancestors(["a"]) == {"a"}
    assert workflow.cycles() == []


def test_a_workflow_with_a_cycle_has_no_order_and_cycles_follow_the_links() -> None:
    workflow = Workflow.from_json(
        {
            "a": {"class_type": "A", "inputs": {"x": ["c", 0]}},
            "b": {"class_type": "A", "inputs": {"x": ["a", 0]}},
            "c": {"class_type": "A", "inputs": {"x": ["b", 0]}},
            "below": {"class_type": "A", "inputs": {"x": ["c", 0]}},
            "self": {"class_type": "A", "inputs": {"x": ["self", 0]}},
        }
    )
    assert workflow.order() is None
    assert sorted(workflow.cycles()) == [["a", "b", "c"], ["self"]]


def test_every_node_on_a_cycle_is_covered_by_a_shortest_one() -> None:
    two_loops = Workflow.from_json(
        {
            "a": {"class_type": "A", "inputs": {"x": ["b", 0], "y": ["d", 0]}},
            "b": {"class_type": "A", "inputs": {"x": ["a", 0]}},
            "c": {"class_type": "A", "inputs": {"x": ["a", 0]}},
            "d": {"class_type": "A", "inputs": {"x": ["c", 0]}},
        }
    )
    cycles = two_loops.cycles()
    assert sorted(map(sorted, cycles)) == [["a", "b"], ["a", "c", "d"]]


def test_a_deep_workflow_is_walked_in_linear_time() -> None:
    deep = chain(20_000)
    started = time.process_time()
    order = deep.order()
    assert order is not None
    assert order[0] == "n0"
    assert len(deep.ancestors(["n19999"])) == 20_000
    assert time.process_time() - started < 5


def test_a_cycle_in_a_huge_graph_is_found_in_linear_time() -> None:
    ring = chain(20_000, closed=True)
    chain_and_ring = Workflow({**chain(20_000).nodes, "self": NodeSpec("Inc", {"x": Link("self")})})
    started = time.process_time()
    assert [len(cycle) for cycle in ring.cycles()] == [20_000]
    assert chain_and_ring.cycles() == [["self"]]
    assert time.process_time() - started < 5


def test_changing_an_input_gives_a_new_workflow() -> None:
    changed = DIAMOND.with_input("top", "value", 5).with_input("left", "x", ["stray", 0])
    assert DIAMOND.nodes["top"].inputs["value"] == 1
    assert changed.nodes["top"].inputs["value"] == 5
    assert changed.nodes["left"].inputs["x"] == Link("stray", 0)
    assert changed.nodes["right"] == DIAMOND.nodes["right"]


def test_a_part_keeps_the_original_order() -> None:
    assert list(DIAMOND.only({"top", "left", "sink"}).nodes) == ["sink", "left", "top"]


def test_a_workflow_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        DIAMOND.nodes["x"] = NodeSpec("A")  # type: ignore[index]
    with pytest.raises(TypeError):
        DIAMOND.nodes["top"].inputs["value"] = 2  # type: ignore[index]


def test_changing_the_document_afterwards_changes_nothing() -> None:
    document = {"1": {"class_type": "A", "inputs": {"deep": {"list": [1, 2]}}}}
    workflow = Workflow.from_json(document)
    document["1"]["inputs"]["deep"]["list"].append(3)  # type: ignore[index]
    document["2"] = {"class_type": "B"}
    assert workflow.to_json() == {"1": {"class_type": "A", "inputs": {"deep": {"list": [1, 2]}}}}
