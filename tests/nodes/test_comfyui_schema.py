"""A node with the name of one of ComfyUI's is that node; what is added comes after, and is optional.

``comfyui_object_info.json`` is what ComfyUI 0.33.0 says of its nodes (``GET /object_info``), without its
prose. Every class of ours with such a name is compared. These differences are meant:

- a list of the server's files is a path for us: text;
- where ComfyUI has no default, ours may be the editor's: a list's first option, 0, an empty text, false;
- outputs have ComfyUI's names in lower case;
- `*` stands for the types that only the editor tells apart.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from run_graph.graph import Registry
from run_graph.graph.declaration import InputSpec, inputs_of, outputs_of
from run_graph.nodes import NODES
from run_graph.runtime.models.handles import Flux, Redux, Siglip, TextEncoders, Vae
from run_graph.runtime.values import Conditioning, Image, Latent, Mask, Vision

COMFYUI = json.loads((Path(__file__).parent / "comfyui_object_info.json").read_text(encoding="utf-8"))
REGISTRY = Registry(NODES)
each_class = pytest.mark.parametrize("class_type", [name for name in COMFYUI if name in REGISTRY])

ANYTHING = {"COMFY_MATCHTYPE_V3", "IMAGECOMPARE"}
EMPTY = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}
WIDGETS = {"COMBO", *EMPTY}


def theirs(class_type: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """ComfyUI's inputs in order: name to socket type and options."""
    node = COMFYUI[class_type]
    declared = {
        name: spec for kind in ("required", "optional") for name, spec in node["input"].get(kind, {}).items()
    }
    grown = [each for name, spec in declared.items() for each in grow(name, *spec)]
    return {name: (socket(name, kind, options), options) for name, kind, options in grown}


def grow(name: str, kind: Any, options: dict[str, Any]) -> list[tuple[str, Any, dict[str, Any]]]:
    """An input that the editor repeats, as often as it can be; a list in the old form as one in the new."""
    if kind == "COMFY_AUTOGROW_V3":
        [(inner, inner_options)] = options["template"]["input"]["required"].values()
        return [(f"{name}.{each}", inner, inner_options) for each in options["template"]["names"]]
    return (
        [(name, "COMBO", {"options": kind, **options})] if isinstance(kind, list) else [(name, kind, options)]
    )


def socket(name: str, kind: str, options: dict[str, Any]) -> str:
    if kind == "COMBO" and (options.get("image_upload") or not options["options"] or name == "vae_name"):
        return "STRING"
    return "*" if kind in ANYTHING else kind


def default(kind: str, options: dict[str, Any]) -> Any:
    """The value of a new node's input in the editor; None if it has none."""
    if "default" in options:
        return options["default"]
    return options["options"][0] if kind == "COMBO" else EMPTY.get(kind)


@each_class
def test_inputs_begin_with_comfyuis(class_type: str) -> None:
    ours = inputs_of(REGISTRY[class_type])
    assert list(ours)[: len(theirs(class_type))] == list(theirs(class_type))
    for name, (kind, options) in theirs(class_type).items():
        assert ours[name].socket == kind, name
        for hint in ("image_upload", "control_after_generate", "multiline"):
            assert ours[name].hints.get(hint, False) == options.get(hint, False), name
        assert ours[name].lazy == options.get("lazy", False), name


@each_class
def test_defaults_are_comfyuis_or_its_editors(class_type: str) -> None:
    for name, (kind, options) in theirs(class_type).items():
        spec = inputs_of(REGISTRY[class_type])[name]
        if "default" in options:
            assert not spec.required, name
        if kind in WIDGETS and not spec.required:
            assert spec.default == default(kind, options), name
            assert isinstance(spec.default, bool) == isinstance(default(kind, options), bool), name


@each_class
def test_optional_inputs_are_optional_and_links_are_required(class_type: str) -> None:
    optional = COMFYUI[class_type]["input"].get("optional", {})
    for name, (kind, _) in theirs(class_type).items():
        spec = inputs_of(REGISTRY[class_type])[name]
        if name in optional:
            assert not spec.required, name
        elif spec.link_only:
            assert spec.required, f"{name}: {kind}"


@each_class
def test_ranges_and_choices_are_comfyuis(class_type: str) -> None:
    for name, (kind, options) in theirs(class_type).items():
        spec = inputs_of(REGISTRY[class_type])[name]
        if kind in ("INT", "FLOAT"):
            assert (spec.minimum, spec.maximum) == (options.get("min"), options.get("max")), name
            assert spec.multiple_of is None, name  # ComfyUI's step is the editor's only
        if kind == "COMBO":
            assert list(spec.options) == list(dict.fromkeys(options["options"])), name


@each_class
def test_further_inputs_are_optional(class_type: str) -> None:
    added: list[InputSpec] = [
        spec for name, spec in inputs_of(REGISTRY[class_type]).items() if name not in theirs(class_type)
    ]
    assert not [spec.name for spec in added if spec.required]


@each_class
def test_outputs_begin_with_comfyuis(class_type: str) -> None:
    node = COMFYUI[class_type]
    expected = [
        (name.lower(), "*" if kind in ANYTHING else kind)
        for name, kind in zip(node["output_name"], node["output"], strict=True)
    ]
    ours = [(output.name, output.socket) for output in outputs_of(REGISTRY[class_type])]
    assert ours[: len(expected)] == expected
    assert REGISTRY[class_type].is_output == node["output_node"]


def test_values_have_comfyuis_socket_types() -> None:
    values = (Flux, TextEncoders, Vae, Siglip, Redux, Vision, Conditioning, Latent, Image, Mask)
    assert [value.socket_type for value in values] == [
        "MODEL",
        "CLIP",
        "VAE",
        "CLIP_VISION",
        "STYLE_MODEL",
        "CLIP_VISION_OUTPUT",
        "CONDITIONING",
        "LATENT",
        "IMAGE",
        "MASK",
    ]
