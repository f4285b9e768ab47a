"""A node with the name of one of ComfyUI's is that node; what is added comes after, and is optional.

``comfyui_object_info.json`` is what ComfyUI 0.33.0 says of its nodes (``GET /object_info``).
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
each_class = pytest.mark.parametrize("class_type", COMFYUI)


def theirs(class_type: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """ComfyUI's inputs in order: name to socket type and options."""
    node = COMFYUI[class_type]
    declared = {
        name: spec for kind in ("required", "optional") for name, spec in node["input"].get(kind, {}).items()
    }
    return {name: (socket(spec), spec[1]) for name, spec in declared.items()}


def socket(spec: list[Any]) -> str:
    """The socket type. A list of the server's files (for uploads) is a path for us: text."""
    if isinstance(spec[0], list):
        return "STRING" if spec[1].get("image_upload") else "COMBO"
    return str(spec[0])


@each_class
def test_inputs_begin_with_comfyuis(class_type: str) -> None:
    ours = inputs_of(REGISTRY[class_type])
    assert list(ours)[: len(theirs(class_type))] == list(theirs(class_type))
    for name, (kind, options) in theirs(class_type).items():
        assert ours[name].socket == kind
        assert bool(ours[name].hints.get("image_upload")) == bool(options.get("image_upload"))
        if "default" in options:
            assert ours[name].default == options["default"]


@each_class
def test_further_inputs_are_optional(class_type: str) -> None:
    added: list[InputSpec] = [
        spec for name, spec in inputs_of(REGISTRY[class_type]).items() if name not in theirs(class_type)
    ]
    assert not [spec.name for spec in added if spec.required]


@each_class
def test_outputs_begin_with_comfyuis(class_type: str) -> None:
    sockets = [output.socket for output in outputs_of(REGISTRY[class_type])]
    assert sockets[: len(COMFYUI[class_type]["output"])] == COMFYUI[class_type]["output"]
    assert REGISTRY[class_type].is_output == COMFYUI[class_type]["output_node"]


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
