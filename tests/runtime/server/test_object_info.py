"""``/object_info`` says of ComfyUI's nodes what ComfyUI says, and offers the files that there are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from run_graph.graph import Registry
from run_graph.graph.declaration import inputs_of, outputs_of
from run_graph.nodes import NODES
from run_graph.runtime.server.object_info import (
    additions,
    node_additions,
    required_inputs,
    served_info,
    served_node,
)

COMFYUI = json.loads(
    (Path(__file__).parents[2] / "nodes" / "comfyui_object_info.json").read_text(encoding="utf-8")
)
REGISTRY = Registry(NODES)
SERVED = served_info(REGISTRY, lambda kind: [f"a {kind}"])
each_stock_node = pytest.mark.parametrize("class_type", [name for name in COMFYUI if name in REGISTRY])
each_node = pytest.mark.parametrize("class_type", list(REGISTRY))

# ComfyUI names an option twice, and an autoencoder without weights, which does not exist here.
ODD = {("ImageScaleToMaxDimension", "upscale_method"), ("VAELoader", "vae_name")}


def inputs(node: Mapping[str, Any]) -> dict[str, list[Any]]:
    """All inputs but the hidden ones; an absent second part is an empty one, and prose is left out."""
    found = {}
    for part in ("required", "optional"):
        for name, [kind, *hints] in node["input"].get(part, {}).items():
            known = {key: value for key, value in (hints[0] if hints else {}).items() if key != "tooltip"}
            found[name] = [part, kind, known]
    return found


@each_stock_node
def test_a_stock_node_is_comfyuis(class_type: str) -> None:
    ours, theirs = SERVED[class_type], COMFYUI[class_type]
    for key in theirs.keys() - {"input", "input_order", "description", "output_tooltips"}:
        assert ours[key] == theirs[key], key
    assert ours["input"].get("hidden") == theirs["input"].get("hidden")
    assert list(inputs(ours)) == list(inputs(theirs))


@each_stock_node
def test_a_stock_nodes_inputs_are_comfyuis(class_type: str) -> None:
    ours = inputs(SERVED[class_type])
    for name, (part, kind, hints) in inputs(COMFYUI[class_type]).items():
        if (class_type, name) in ODD:
            continue
        our_part, our_kind, our_hints = ours[name]
        assert our_part == part, name
        if isinstance(our_kind, list) and our_kind[0].startswith("a "):
            assert isinstance(kind, list), name  # a choice of files, which are ours
        else:
            assert our_kind == kind, name
        if str(our_hints.get("options", [""])[0]).startswith("a "):
            hints = {**hints, "multiselect": False, "options": our_hints["options"]}
        assert our_hints == hints, name


@each_node
def test_every_node_is_whole(class_type: str) -> None:
    node = SERVED[class_type]
    assert json.loads(json.dumps(node, allow_nan=False)) == node
    assert node["name"] == class_type
    assert node["python_module"].split(".")[0] in ("nodes", "comfy_extras", "custom_nodes")
    assert len(node["output"]) == len(node["output_is_list"]) == len(node["output_name"])
    for part, group in node["input"].items():
        assert list(group) == node["input_order"][part]


@pytest.mark.parametrize(
    ("class_type", "name", "kind"),
    [
        ("UnetLoaderGGUF", "unet_name", "diffusion_models"),
        ("UnetLoaderGGUFAdvanced", "unet_name", "diffusion_models"),
        ("CLIPLoaderGGUF", "clip_name", "text_encoders"),
        ("DualCLIPLoaderGGUF", "clip_name2", "text_encoders"),
    ],
)
def test_loaders_of_comfyui_gguf_offer_files(class_type: str, name: str, kind: str) -> None:
    assert SERVED[class_type]["input"]["required"][name][0] == [f"a {kind}"]
    assert SERVED[class_type]["python_module"] == "custom_nodes.ComfyUI-GGUF"


@each_node
def test_the_editor_gets_every_declared_input_and_output(class_type: str) -> None:
    added, served = node_additions(REGISTRY[class_type]), SERVED[class_type]
    declared = inputs_of(REGISTRY[class_type])
    names = {name for part in ("required", "optional") for name in served["input"].get(part, {})}
    assert not names & added["input"].keys()
    assert {name for name in declared if "." not in name} <= names | added["input"].keys()
    assert len(served["output"]) + len(added["output"]) == len(outputs_of(REGISTRY[class_type]))
    if class_type in COMFYUI:
        assert not names - {name for part in COMFYUI[class_type]["input"].values() for name in part}


def test_what_the_editor_adds_to_comfyuis_nodes() -> None:
    added = additions(REGISTRY)
    assert list(added["SaveImage"]["input"]) == ["format", "quality", "metadata"]
    assert added["SaveImage"]["output_name"] == ["path", "paths"]
    assert list(added["UNETLoader"]["input"]) == ["quantize"]
    assert "KSampler" not in added
    assert "FluxSample" not in added
    assert json.loads(json.dumps(added, allow_nan=False)) == added


def test_files_are_asked_for_each_time() -> None:
    there = ["a.png"]
    before = served_node(REGISTRY["LoadImage"], lambda kind: list(there))["input"]["required"]["image"]
    there.append("b.png")
    after = served_node(REGISTRY["LoadImage"], lambda kind: list(there))["input"]["required"]["image"]
    assert (before[0], after[0]) == (["a.png"], ["a.png", "b.png"])
    assert after[1]["image_upload"] is True


def test_our_seeds_change_after_a_run_and_our_models_are_a_choice() -> None:
    assert SERVED["FluxSample"]["input"]["required"]["seed"][1]["control_after_generate"] is True
    assert SERVED["LoadFlux"]["input"]["required"]["model"][0] == ["tiny", "a flux"]


def test_comfyuis_required_inputs_are_required_although_they_have_defaults_here() -> None:
    assert required_inputs(REGISTRY["ImageScale"]) == ["image", "upscale_method", "width", "height", "crop"]
    assert "device" not in required_inputs(REGISTRY["DualCLIPLoader"])
    assert required_inputs(REGISTRY["FluxSample"]) == ["flux", "conditioning"]
