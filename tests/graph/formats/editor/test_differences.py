"""Where the conversion means something else than the editor, on purpose: it would lose what the file says."""

import json
from typing import Any

import pytest
from editor_samples import DATA, SCHEMAS, file, node, slot, subgraph, with_subgraphs

from run_graph.graph.formats.editor.conversion import Converted, convert

LATENT = [{"name": "LATENT", "type": "LATENT"}]


def converted(written: dict[str, Any]) -> Converted:
    return convert(written, SCHEMAS)


def inputs(written: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node_id: spec["inputs"] for node_id, spec in converted(written).nodes.items()}


def test_a_value_that_is_null_or_not_a_number_is_the_default_and_told() -> None:
    """The editor hands null over, which the server refuses."""
    nan = float("nan")
    found = converted(file([node(1, "EmptyLatentImage", values=[None, nan, 3])]))
    assert found.nodes["1"]["inputs"] == {"width": 512, "height": 512, "batch_size": 3}
    assert found.filled == ("1.width = 512", "1.height = 512")


def test_a_null_of_an_instance_is_the_value_inside() -> None:
    inner = subgraph(
        "s",
        [node(21, "EmptyLatentImage", [slot("width", "INT", 1, "width")], values=[640, 768, 1])],
        [[1, -10, 0, 21, 0, "INT"]],
        inputs=[("width", "INT", [1])],
    )
    instance = node(1, "s", [slot("width", "INT", None, "width")], values=[None])
    assert inputs(with_subgraphs(file([instance]), inner))["1:21"]["width"] == 640


def test_values_by_name_are_read() -> None:
    """Some extensions save them so; the editor itself would take the defaults."""
    found = inputs(file([node(1, "EmptyLatentImage", values={"width": 5, "height": 6})]))
    assert found["1"] == {"width": 5, "height": 6, "batch_size": 1}


def test_named_values_serve_where_there_are_none_by_position() -> None:
    named = node(1, "EmptyLatentImage", widgets_values_named={"width": 5, "height": 6})
    assert inputs(file([named]))["1"] == {"width": 5, "height": 6, "batch_size": 1}


def test_a_promoted_widget_without_a_value_keeps_its_link_inside() -> None:
    inner = subgraph(
        "s",
        [
            node(21, "EmptyLatentImage", [slot("width", "INT", 1, "width")], values=[640, 768, 1]),
            node(22, "PrimitiveInt", values=[7, "fixed"]),
        ],
        [[1, 22, 0, 21, 0, "INT"]],
    )
    instance = node(1, "s", properties={"proxyWidgets": [["21", "width"]]}, values=[])
    assert inputs(with_subgraphs(file([instance]), inner))["1:21"]["width"] == ["1:22", 0]


def test_a_subgraph_may_pass_an_input_straight_to_an_output() -> None:
    """The editor fails here."""
    inner = subgraph(
        "s", [], [[1, -10, 0, -20, 0, "LATENT"]], [("in", "LATENT", [1])], [("out", "LATENT", [1])]
    )
    nodes = [
        node(1, "EmptyLatentImage", outputs=LATENT),
        node(2, "s", [slot("in", "LATENT", 1)]),
        node(3, "VAEDecode", [slot("samples", "LATENT", 2)]),
    ]
    links = [[1, 1, 0, 2, 0, "LATENT"], [2, 2, 0, 3, 0, "LATENT"]]
    assert inputs(with_subgraphs(file(nodes, links), inner))["3"] == {"samples": ["1", 0]}


def test_of_choices_the_first_is_taken_and_told() -> None:
    found = converted(file([node(6, "CLIPTextEncode", values=["a {red|{blue|green}} fox {sits}"])]))
    assert found.nodes["6"]["inputs"]["text"] == "a red fox sits"
    [note] = found.notes
    assert "the first was taken, where ComfyUI picks one at random: 6.text" in note


def test_dates_in_the_name_of_a_file_are_left_for_the_moment_of_saving() -> None:
    prefix = "%date:yyyy%_%width%_%KSampler.seed%"
    found = inputs(file([node(1, "SaveImage", values=[prefix]), node(2, "KSampler", values=[7])]))
    assert found["1"]["filename_prefix"] == "%date:yyyy%_%width%_7"


def test_values_of_an_unknown_class_have_the_names_in_the_file() -> None:
    known = [
        slot("image", "IMAGE"),
        slot("amount", "FLOAT", None, "amount"),
        slot("seed", "INT", None, "seed"),
    ]
    found = converted(file([node(1, "NoSuchNode", known, values=[0.5, 7, "randomize"])]))
    assert found.nodes["1"] == {"class_type": "NoSuchNode", "inputs": {"amount": 0.5, "seed": 7}}
    assert not found.notes


def test_values_of_an_unknown_class_without_names_are_kept_and_told() -> None:
    found = converted(
        file([node(1, "NoSuchNode", [slot("amount", "FLOAT", None, "amount")], values=[1, [2]])])
    )
    assert found.nodes["1"]["inputs"] == {"UNKNOWN": 1, "UNKNOWN_1": {"__value__": [2]}}
    assert found.notes == ("values without names, because these classes are not known: NoSuchNode",)


def test_nodes_of_a_widespread_package_that_only_the_editor_knows_are_left_out() -> None:
    nodes = [
        node(1, "EmptyLatentImage", outputs=LATENT),
        node(2, "Reroute (rgthree)", [slot("", "*", 1)]),
        node(3, "easy setNode", [slot("LATENT", "LATENT", 2)], values=["latent"]),
        node(4, "easy getNode", values=["latent"]),
        node(5, "VAEDecode", [slot("samples", "LATENT", 3)]),
        node(6, "Fast Groups Bypasser (rgthree)"),
        node(7, "Label (rgthree)"),
    ]
    links = [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 4, 0, 5, 0, "LATENT"]]
    found = inputs(file(nodes, links))
    assert list(found) == ["1", "5"]
    assert found["5"] == {"samples": ["1", 0]}


def test_a_name_inside_a_subgraph_is_looked_up_outside_it() -> None:
    inner = subgraph(
        "s",
        [node(21, "GetNode", values=["x"]), node(22, "VAEDecode", [slot("samples", "LATENT", 1)])],
        [[1, 21, 0, 22, 0, "LATENT"]],
    )
    nodes = [
        node(1, "EmptyLatentImage", outputs=LATENT),
        node(2, "SetNode", [slot("LATENT", "LATENT", 1)], values=["x"]),
        node(3, "s"),
    ]
    found = inputs(with_subgraphs(file(nodes, [[1, 1, 0, 2, 0, "LATENT"]]), inner))
    assert found["3:22"] == {"samples": ["1", 0]}


def test_a_name_that_nothing_sets_is_told() -> None:
    nodes = [node(4, "GetNode", values=["x"]), node(5, "VAEDecode", [slot("samples", "LATENT", 1)])]
    found = converted(file(nodes, [[1, 4, 0, 5, 0, "LATENT"]]))
    assert found.nodes["5"]["inputs"] == {}
    assert found.notes == ("nothing sets the names that these nodes get: 4",)


def test_widgets_of_a_group_node_that_were_made_into_inputs_keep_their_links() -> None:
    group = {"nodes": [node(-1, "EmptyLatentImage", [slot("width", "INT", None, "width")])], "links": []}
    nodes = [
        node(1, "PrimitiveInt", values=[7, "fixed"]),
        node(2, "workflow>G", [slot("width", "INT", 1, "width")], values=[768, 2]),
    ]
    written = file(nodes, [[1, 1, 0, 2, 0, "INT"]], extra={"groupNodes": {"G": group}})
    assert inputs(written)["2:0"] == {"width": ["1", 0], "height": 768, "batch_size": 2}


def test_a_primitive_in_a_group_node_has_the_value_of_the_instance() -> None:
    case = json.loads((DATA / "group_primitive.json").read_text(encoding="utf-8"))
    found = inputs(case)
    assert (found["5:1"]["width"], found["5:1"]["height"]) == (800, 800)
    assert found["5:3"] == {"amount": 7, "samples": ["5:1", 0]}


def test_a_group_of_a_picture_has_the_button_of_old_files_among_its_values() -> None:
    group = {
        "nodes": [node(-1, "LoadImage"), node(-1, "ImageScaleBy", [slot("image", "IMAGE")])],
        "links": [[0, 0, 1, 0]],
    }
    instance = node(2, "workflow/G", values=["fox.png", "image", "area", 0.5])
    found = inputs(file([instance], extra={"groupNodes": {"G": group}}))
    assert found["2:0"] == {"image": "fox.png"}
    assert found["2:1"] == {"image": ["2:0", 0], "upscale_method": "area", "scale_by": 0.5}


@pytest.mark.parametrize("mode", [2, 4])
def test_a_muted_or_bypassed_group_node_is_left_out(mode: int) -> None:
    group = {"nodes": [node(-1, "EmptyLatentImage")], "links": []}
    instance = node(2, "workflow>G", mode=mode)
    assert inputs(file([instance], extra={"groupNodes": {"G": group}})) == {}
