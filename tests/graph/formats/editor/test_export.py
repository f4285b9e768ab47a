"""Workflows as files of ComfyUI's editor: converted back they are the same, and the editor can show them."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from editor_samples import DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SHIPPED, shipped

from run_graph.graph import Link, NodeSpec, Registry, Workflow, WorkflowError, parse_workflow
from run_graph.graph.declaration import output_table, outputs_of
from run_graph.graph.formats.api import workflow_from
from run_graph.graph.formats.editor.conversion import convert
from run_graph.graph.formats.editor.export import exported
from run_graph.graph.formats.editor.schema import NO_DEFAULT, RegistrySchemas
from run_graph.graph.formats.editor.texts import can_be_escaped, escaped, without_choices
from run_graph.graph.normal_form import normalised
from run_graph.graph.validation import check
from run_graph.nodes import NODES

REGISTRY = Registry(NODES)
SCHEMAS = RegistrySchemas(REGISTRY)
OTHERS = Path(__file__).parents[3] / "conformance" / "corpus"
CORPUS = sorted([*DATA.glob("corpus/*.json"), *OTHERS.glob("*.json")])


def document_of(workflow: Workflow) -> dict[str, Any]:
    """The editor's file, once written and read."""
    document: dict[str, Any] = json.loads(json.dumps(exported(workflow, REGISTRY).document, allow_nan=False))
    return document


def entries(nodes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The editor's nodes of a workflow, by their class."""
    return {each["type"]: each for each in document_of(Workflow.from_json(nodes))["nodes"]}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def returned(document: Mapping[str, Any]) -> Workflow:
    return Workflow.from_json(convert(document, SCHEMAS).nodes)


def written_out(workflow: Workflow) -> Workflow:
    """The workflow as the editor can say it: all values of widgets, and outputs by their numbers."""
    return Workflow({node_id: whole(spec, workflow) for node_id, spec in workflow.nodes.items()})


def whole(spec: NodeSpec, workflow: Workflow) -> NodeSpec:
    inputs: dict[str, Any] = {}
    for name, value in spec.inputs.items():
        if isinstance(value, Link) and isinstance(value.slot, str):
            table = output_table(REGISTRY[workflow.nodes[value.node_id].class_type])
            value = Link(value.node_id, table[value.slot].slot)
        inputs[name] = value
    for name, each in (SCHEMAS.inputs(spec.class_type) or {}).items():
        if each.is_widget and inputs.get(name) is None:
            inputs.pop(name, None)
            if each.default is not NO_DEFAULT and each.default is not None:
                inputs[name] = each.default
    return NodeSpec(spec.class_type, inputs, spec.title or None, spec.pack)  # an empty title is none


@pytest.mark.parametrize("name", SHIPPED)
def test_examples_come_back_as_the_same_workflow(name: str) -> None:
    workflow, notes = shipped(name), list[str]()
    back = workflow_from(document_of(workflow), notes.append, REGISTRY)
    assert back == written_out(workflow)
    assert notes == []
    assert as_it_runs(back) == as_it_runs(workflow)


def as_it_runs(workflow: Workflow) -> Workflow:
    checked = check(workflow, REGISTRY)
    assert checked.faults == ()
    return normalised(checked.nodes, workflow)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_workflows_of_users_come_back_as_the_same_workflow(path: Path) -> None:
    workflow = parse_workflow(path.read_text(encoding="utf-8"), lambda note: None, REGISTRY)
    assert returned(document_of(workflow)) == written_out(workflow)


IDS = ["1", "7", "007", "-1", "-10", "-20", "5:12", "photo", "a b", "", "1.5", "9" * 30, "x" * 250]
TEXTS = st.text("ab/\\{}|*\n\u00e9\U0001f98a", max_size=8).filter(can_be_escaped)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.booleans() | NUMBERS | TEXTS
LISTS = st.lists(PLAIN, max_size=3)
LITERALS = st.none() | PLAIN | st.dictionaries(st.text(max_size=3), PLAIN | LISTS, max_size=2)
VALUES = LITERALS | LISTS.map(lambda value: {"__value__": value})


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """Nodes of any classes, with links between them and values of any type, right or wrong."""
    names = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=5, unique=True))
    classes = {name: draw(st.sampled_from([*sorted(REGISTRY), "Nonsense", ""])) for name in names}
    outputs = {name: outputs_of(REGISTRY[kind]) if kind in REGISTRY else () for name, kind in classes.items()}
    ends = [[name, each.slot] for name in names for each in outputs[name]]
    ends += [[name, each.name] for name in names for each in outputs[name]]
    ends += [[name, slot] for name in names if classes[name] not in REGISTRY for slot in (0, 3)]
    values = VALUES | st.sampled_from(ends) if ends else VALUES
    nodes = {}
    for name, kind in classes.items():
        known = [*(SCHEMAS.inputs(kind) or ()), "zzz", "seed", "quantize"]
        inputs = draw(st.dictionaries(st.sampled_from(known), values, max_size=6))
        meta = draw(st.sampled_from([{}, {"title": "A title"}, {"cnr_id": "pack"}, {"aux_id": "a/b"}]))
        nodes[name] = {"class_type": kind, "inputs": inputs, "_meta": meta}
    return Workflow.from_json(nodes)


@settings(max_examples=120, deadline=None)
@given(workflows())
def test_any_workflow_comes_back_as_the_same(workflow: Workflow) -> None:
    document = document_of(workflow)
    new = {old: str(each["id"]) for old, each in zip(workflow.nodes, document["nodes"], strict=True)}
    assert returned(document) == written_out(workflow).renamed(new)
    kept = [old for old in new if old not in ("-1", "-10", "-20", "x" * 250)]
    assert all(new[old] == old for old in kept)
    assert document_of(workflow) == document


def test_values_are_in_the_order_of_the_editor_with_what_it_has_behind_them() -> None:
    found = entries(
        {
            "1": node("LoadImage", image="fox.png"),
            "2": node(
                "KSampler", seed=5, steps=4, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0
            ),
            "3": node("CLIPTextEncode", text="a {fox|cat} // here"),
        }
    )
    assert found["LoadImage"]["widgets_values"] == ["fox.png", "image"]
    assert found["KSampler"]["widgets_values"] == [5, "fixed", 4, 1.0, "euler", "simple", 1.0]
    assert found["CLIPTextEncode"]["widgets_values"] == [r"a \{fox\|cat\} /{}/ here"]


def test_slots_are_sockets_first_and_say_which_widget_they_belong_to() -> None:
    found = entries({"1": node("VAEDecode"), "2": node("SaveImage", images=["1", 0])})
    assert found["SaveImage"]["inputs"] == [
        {"name": "images", "type": "IMAGE", "link": 1},
        {"name": "filename_prefix", "type": "STRING", "link": None, "widget": {"name": "filename_prefix"}},
    ]
    assert found["VAEDecode"]["outputs"] == [{"name": "image", "type": "IMAGE", "links": [1]}]


def test_links_name_both_ends_and_their_type() -> None:
    document = document_of(shipped("redux"))
    nodes = {each["id"]: each for each in document["nodes"]}
    assert len(document["links"]) == document["last_link_id"] == 13
    for number, source, output, target, place, kind in document["links"]:
        assert nodes[target]["inputs"][place]["link"] == number
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind


def test_what_only_our_nodes_have_is_a_property_and_comes_back() -> None:
    own = {"format": "jpeg", "quality": 80}
    workflow = Workflow.from_json({"1": node("VAEDecode"), "2": node("SaveImage", images=["1", 0], **own)})
    [_, save] = document_of(workflow)["nodes"]
    assert save["properties"] == {"Node name for S&R": "SaveImage", "run_graph_inputs": own}
    assert save["widgets_values"] == [
        "ComfyUI",
        "jpeg",
        80,
        "all",
    ]  # the last three only in our server's editor
    assert returned(document_of(workflow)).nodes["2"].inputs["quality"] == 80


def test_what_our_servers_editor_saves_of_them_goes_before_what_was_exported() -> None:
    document = document_of(Workflow.from_json({"1": node("LoadImage", image="a.png", frames="first")}))
    [load] = document["nodes"]
    assert load["widgets_values"] == ["a.png", "image", "none", "first"]
    assert returned(document).nodes["1"].inputs["frames"] == "first"
    load["widgets_values"] = ["a.png", "image", "white", "all"]
    load["widgets_values_named"] = {
        "image": "a.png",
        "upload": "image",
        "background": "white",
        "frames": "all",
    }
    again = returned(document).nodes["1"].inputs
    assert (again["background"], again["frames"]) == ("white", "all")
    assert "upload" not in again


def test_numbers_are_numbers_and_new_nodes_get_new_ones() -> None:
    document = document_of(Workflow.from_json({"12": node("VAEDecode"), "photo": node("VAEDecode")}))
    assert [each["id"] for each in document["nodes"]] == [12, "photo"]
    assert document["last_node_id"] == 12


def test_an_id_that_means_something_else_in_the_editor_is_told() -> None:
    workflow = Workflow.from_json({"-10": node("VAEDecode"), "2": node("SaveImage", images=["-10", 0])})
    found = exported(workflow, REGISTRY)
    assert found.notes == ("ids that the editor cannot have: '-10' is 3",)
    assert returned(found.document).nodes["2"].inputs["images"] == Link("3", 0)


@pytest.mark.parametrize(
    ("workflow", "part"),
    [
        ({"1": node("Mystery", seed=1, mode="a")}, "values of unknown classes are in the order of the file"),
        ({"1": node("Note", text="a")}, "classes that exist in ComfyUI's editor only"),
        ({"1": node("CLIPTextEncode", text=r"a \{ b")}, "a backslash for a sign of its own: 1.text"),
    ],
)
def test_what_the_editor_may_read_differently_is_told(workflow: dict[str, Any], part: str) -> None:
    [note] = exported(Workflow.from_json(workflow), REGISTRY).notes
    assert part in note


@pytest.mark.parametrize("link", [["9", 0], ["1", 5], ["1", "nothing"], ["1"], ["1", 1.5]])
def test_a_link_that_leads_nowhere_is_a_fault(link: list[Any]) -> None:
    workflow = Workflow.from_json({"1": node("VAEDecode"), "2": node("SaveImage", images=link)})
    with pytest.raises(WorkflowError) as raised:
        exported(workflow, REGISTRY)
    [fault] = raised.value.faults
    assert (fault.code, fault.node_id, fault.input) == ("bad_linked_input", "2", "images")


@pytest.mark.parametrize("name", SHIPPED)
def test_nodes_lie_beside_each_other_from_left_to_right(name: str) -> None:
    document = document_of(shipped(name))
    place = {each["id"]: each["pos"] for each in document["nodes"]}
    assert all(place[link[1]][0] < place[link[3]][0] for link in document["links"])
    boxes = list(rectangles(document))
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def rectangles(document: Mapping[str, Any]) -> Iterator[tuple[float, float, float, float]]:
    """Left, top, right and bottom of each node in the editor: rows of 20, widgets of 24, texts of 100."""
    for each in document["nodes"]:
        known = SCHEMAS.inputs(each["type"]) or {}
        sockets = [slot for slot in each["inputs"] if "widget" not in slot]
        widgets = [known[slot["name"]] for slot in each["inputs"] if "widget" in slot]
        rows = 20 * max(len(sockets), len(each["outputs"]))
        least = 10 + rows + sum(100 if widget.is_multiline else 24 for widget in widgets)
        (x, y), (width, height) = each["pos"], each["size"]
        yield x, y - 30, x + width, y + max(height, least)


def test_order_is_that_of_links() -> None:
    document = document_of(
        Workflow.from_json({"1": node("SaveImage", images=["2", 0]), "2": node("VAEDecode")})
    )
    assert [each["order"] for each in document["nodes"]] == [1, 0]


@given(st.text("ab/\\{}|*\n", max_size=20))
def test_a_text_that_can_be_escaped_means_itself(text: str) -> None:
    if can_be_escaped(text):
        assert without_choices(escaped(text)) == (text, False)
    else:
        assert "\\" in text
