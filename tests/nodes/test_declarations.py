"""What the built-in classes declare: names that files depend on, ranges, and a description of every part."""

from typing import Any

import pytest

from run_graph.graph import Node, Registry
from run_graph.graph.declaration import inputs_of, outputs_of, summary_of
from run_graph.nodes import NODES

# class: ({input: (socket, default, or ... if required)}, {output: socket})
DECLARED: dict[str, tuple[dict[str, tuple[str, Any]], dict[str, str]]] = {
    "LoadImage": (
        {"image": ("STRING", ...), "background": ("COMBO", "none"), "frames": ("COMBO", "all")},
        {"image": "IMAGE", "mask": "MASK"},
    ),
    "LoadFlux": (
        {"model": ("STRING", "tiny"), "quantize": ("COMBO", "none")},
        {"flux": "MODEL", "text_encoders": "CLIP", "vae": "VAE"},
    ),
    "LoadRedux": (
        {"model": ("STRING", "tiny"), "quantize": ("COMBO", "none")},
        {"siglip": "CLIP_VISION", "redux": "STYLE_MODEL"},
    ),
    "SiglipEncode": (
        {
            "siglip": ("CLIP_VISION", ...),
            "image": ("IMAGE", ...),
            "fit": ("COMBO", "crop"),
            "resample": ("COMBO", "bicubic"),
        },
        {"vision": "CLIP_VISION_OUTPUT"},
    ),
    "ReduxEncode": (
        {"redux": ("STYLE_MODEL", ...), "vision": ("CLIP_VISION_OUTPUT", ...)},
        {"tokens": "REDUX_TOKENS"},
    ),
    "PatchDownsample": (
        {
            "tokens": ("REDUX_TOKENS", ...),
            "mode": ("COMBO", "medium"),
            "interpolation": ("COMBO", "area"),
            "factor": ("FLOAT", None),
        },
        {"tokens": "REDUX_TOKENS"},
    ),
    "TextEncode": (
        {"text_encoders": ("CLIP", ...), "prompt": ("STRING", ...)},
        {"conditioning": "CONDITIONING"},
    ),
    "ConcatConditioning": (
        {
            "conditioning": ("CONDITIONING", ...),
            "tokens": ("REDUX_TOKENS", ...),
            "strength": ("FLOAT", 1.0),
        },
        {"conditioning": "CONDITIONING"},
    ),
    "FluxSample": (
        {
            "flux": ("MODEL", ...),
            "conditioning": ("CONDITIONING", ...),
            "width": ("INT", 1024),
            "height": ("INT", 1024),
            "steps": ("INT", 20),
            "guidance": ("FLOAT", 3.5),
            "seed": ("INT", 0),
        },
        {"latent": "LATENT"},
    ),
    "DecodeLatent": ({"vae": ("VAE", ...), "latent": ("LATENT", ...)}, {"image": "IMAGE"}),
    "SaveImage": (
        {"images": ("IMAGE", ...), "filename_prefix": ("STRING", "ComfyUI")},
        {"images": "IMAGE", "path": "STRING", "paths": "*"},
    ),
}

OPTIONS = {
    ("LoadImage", "background"): ("none", "white", "grey", "black"),
    ("LoadImage", "frames"): ("all", "first"),
    ("LoadFlux", "quantize"): ("none", 3, 4, 5, 6, 8),
    ("LoadRedux", "quantize"): ("none", 3, 4, 5, 6, 8),
    ("SiglipEncode", "fit"): ("crop", "stretch", "pad"),
    ("SiglipEncode", "resample"): ("bicubic", "lanczos"),
    ("PatchDownsample", "mode"): ("lowest", "low", "medium", "high", "highest"),
    ("PatchDownsample", "interpolation"): ("area", "bicubic", "nearest", "bilinear", "nearest-exact"),
}

RANGES = {  # (minimum, maximum, multiple)
    ("PatchDownsample", "factor"): (1, 9, None),
    ("ConcatConditioning", "strength"): (0, 1, None),
    ("FluxSample", "width"): (16, 8192, 16),
    ("FluxSample", "height"): (16, 8192, 16),
    ("FluxSample", "steps"): (1, 10000, None),
    ("FluxSample", "guidance"): (0, 100, None),
    ("FluxSample", "seed"): (0, 2**64 - 1, None),
}

REGISTRY = Registry(NODES)
each_node = pytest.mark.parametrize("node_class", NODES, ids=lambda node_class: node_class.__name__)


@pytest.mark.parametrize("class_type", DECLARED)
def test_inputs_and_outputs_are_those_that_workflow_files_rely_on(class_type: str) -> None:
    inputs, outputs = DECLARED[class_type]
    node_class = REGISTRY[class_type]
    declared = {
        name: (spec.socket, ... if spec.required else spec.default)
        for name, spec in inputs_of(node_class).items()
    }
    # Later inputs may follow these, if they have defaults: files written today stay valid.
    assert {name: declared[name] for name in inputs} == inputs
    assert not [name for name in declared.keys() - inputs.keys() if declared[name][1] is ...]
    assert [(out.name, out.socket) for out in outputs_of(node_class)] == list(outputs.items())


@pytest.mark.parametrize(("class_type", "name"), OPTIONS)
def test_choices_are_those_documented(class_type: str, name: str) -> None:
    options = inputs_of(REGISTRY[class_type])[name].options
    assert sorted(map(str, options)) == sorted(map(str, OPTIONS[class_type, name]))


@pytest.mark.parametrize(("class_type", "name"), RANGES)
def test_ranges_are_those_documented(class_type: str, name: str) -> None:
    spec = inputs_of(REGISTRY[class_type])[name]
    assert (spec.minimum, spec.maximum, spec.multiple_of) == RANGES[class_type, name]


@each_node
def test_every_class_has_a_category_and_a_summary_of_one_sentence(node_class: type[Node]) -> None:
    assert node_class.category
    summary = summary_of(node_class)
    assert summary.endswith(".")
    assert len(summary) < 160


@each_node
def test_every_input_and_output_is_described(node_class: type[Node]) -> None:
    parts = [*inputs_of(node_class).values(), *outputs_of(node_class)]
    assert not [part.name for part in parts if not part.description.endswith(".")]


@each_node
def test_the_json_schema_states_what_the_class_declares(node_class: type[Node]) -> None:
    schema = node_class.model_json_schema()
    properties = schema["properties"]
    specs = inputs_of(node_class)
    assert schema["description"].startswith(summary_of(node_class)[:20])
    assert properties.keys() == specs.keys()
    assert set(schema.get("required", [])) == {name for name, spec in specs.items() if spec.required}
    assert all(properties[name]["description"] == spec.description for name, spec in specs.items())


@pytest.mark.parametrize(("class_type", "name"), RANGES)
def test_the_json_schema_holds_the_ranges(class_type: str, name: str) -> None:
    found = REGISTRY[class_type].model_json_schema()["properties"][name]
    number = next(part for part in found.get("anyOf", [found]) if part.get("type") != "null")
    limits = (number.get("minimum"), number.get("maximum"), number.get("multipleOf"))
    assert limits == RANGES[class_type, name]


@pytest.mark.parametrize(("class_type", "name"), OPTIONS)
def test_the_json_schema_holds_the_choices(class_type: str, name: str) -> None:
    found = REGISTRY[class_type].model_json_schema()["properties"][name]
    assert sorted(map(str, found["enum"])) == sorted(map(str, OPTIONS[class_type, name]))


def test_of_our_own_nodes_only_saving_is_an_output() -> None:
    own = [node_class for node_class in NODES if "comfyui" not in node_class.__module__]
    assert [node_class.class_type for node_class in own if node_class.is_output] == ["SaveImage", "SaveModel"]
