"""Node classes as data: ComfyUI's form, whatever the class."""

import json
from pathlib import Path
from typing import Any

import pytest
from sample_nodes import REGISTRY as SAMPLES
from sample_nodes import Scale

from run_graph.graph import Registry
from run_graph.graph.object_info import node_info, object_info
from run_graph.nodes import NODES

THEIRS = json.loads((Path(__file__).parents[1] / "nodes" / "comfyui_object_info.json").read_text("utf-8"))


def test_a_class_is_described_completely() -> None:
    assert node_info(Scale) == {
        "input": {
            "required": {
                "image": ["IMAGE", {"tooltip": "The picture."}],
                "width": [
                    "INT",
                    {"default": 512, "min": 16, "max": 4096, "step": 16, "tooltip": "In pixels."},
                ],
            },
            "optional": {"mask": ["MASK", {"tooltip": "What to keep."}]},
        },
        "input_order": {"required": ["image", "width"], "optional": ["mask"]},
        "is_input_list": False,
        "output": ["IMAGE"],
        "output_is_list": [False],
        "output_name": ["image"],
        "output_tooltips": [""],
        "name": "Scale",
        "display_name": "Scale",
        "python_module": "sample_nodes",
        "description": "Pretend to scale a picture; optionally through a mask.",
        "category": "image",
        "output_node": False,
    }


def test_a_choice_lists_its_values() -> None:
    edge = object_info(SAMPLES)["Blur"]["input"]["required"]["edge"]
    assert edge[0] == ["clamp", "wrap", "mirror"]
    assert edge[1]["default"] == "clamp"


@pytest.mark.parametrize("class_type", sorted(THEIRS.keys() & Registry(NODES).keys()))
def test_the_form_is_comfyuis(class_type: str) -> None:
    ours = object_info(Registry(NODES))[class_type]
    assert same_types(ours, THEIRS[class_type])


def same_types(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether each key that both have holds the same kind of value; theirs may be None."""
    both = [key for key in ours.keys() & theirs.keys() if theirs[key] is not None]
    return len(both) >= 9 and all(type(ours[key]) is type(theirs[key]) for key in both)


def test_all_of_it_is_json() -> None:
    assert json.loads(json.dumps(object_info(Registry(NODES)))).keys() == {cls.class_type for cls in NODES}
