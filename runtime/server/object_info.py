"""``/object_info``: the node classes as ComfyUI's editor and its clients want them.

Everything comes from the declarations of the classes (:mod:`graph.object_info`). ``stock_nodes.json`` adds,
for ComfyUI's own nodes, what only its editor uses: title, menu, steps of the widgets, the form of a choice.
An input that names a file gets the files that there are now as its choices.

ComfyUI's nodes are served exactly as ComfyUI has them: some clients count on its outputs and its order of
widgets. What they have here beyond that is asked for by our script in the editor (:func:`additions`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import inputs_of
from run_graph.graph.node import Node
from run_graph.graph.object_info import node_info
from run_graph.graph.registry import Registry

FileNames = Callable[[str], list[str]]
"""The names of the files of a kind: ``input``, ``output``, or a folder of models such as ``loras``."""

_PACK = "custom_nodes.run_graph"  # the editor shows the second part as a badge above the node
_FLAGS = {"has_intermediate_output": False}
# What ComfyUI says of each node that is written against its newer interface.
_NEW_FLAGS = {
    "output_matchtypes": None,
    "deprecated": False,
    "experimental": False,
    "dev_only": False,
    "essentials_category": None,
}
# Inputs of our own nodes that name models.
_OWN_FILES = {("LoadFlux", "model"): "flux", ("LoadRedux", "model"): "redux", ("LoadLora", "lora"): "loras"}

_OUTPUT_PARTS = ("output", "output_is_list", "output_name", "output_tooltips")

Spec = list[Any]


def served_info(registry: Registry, files: FileNames) -> dict[str, Any]:
    """All classes by name: see :func:`served_node`."""
    return {class_type: served_node(node_class, files) for class_type, node_class in registry.items()}


def served_node(node_class: type[Node], files: FileNames) -> dict[str, Any]:
    """A class as ``/object_info`` has it, plain JSON values without NaN.

    Parameters
    ----------
    node_class : type
    files : callable
        Asked for the choices of each input that names a file.
    """
    info, own = node_info(node_class), stock_nodes().get(node_class.class_type)
    if own is None:
        info |= {"python_module": _PACK, **_FLAGS}
        for group in info["input"].values():
            for name, spec in group.items():
                if kind := _own_files(node_class, name, spec):
                    group[name] = [with_present(files(kind), spec[1].get("default")), spec[1]]
        return info
    info |= {"display_name": own["title"], "python_module": own["module"], "category": own["category"]}
    info |= _FLAGS | (_NEW_FLAGS if own.get("new") else {}) | own.get("flags", {})
    info["input"] = _stock_inputs(node_class, info["input"], own, files)
    info["input_order"] = {part: list(group) for part, group in info["input"].items()}
    _name_outputs(info, own)
    return info


def additions(registry: Registry) -> dict[str, Any]:
    """What nodes have here beyond ComfyUI's of the same name (:func:`node_additions`), by class."""
    found = {class_type: node_additions(node_class) for class_type, node_class in registry.items()}
    return {class_type: added for class_type, added in found.items() if any(added.values())}


def node_additions(node_class: type[Node]) -> dict[str, Any]:
    """The inputs and outputs of one of ComfyUI's nodes that only run-graph has.

    ``input`` has the optional inputs by name; ``output``, ``output_is_list``, ``output_name`` and
    ``output_tooltips`` have those of the outputs that follow ComfyUI's. All are empty for other nodes.
    """
    own, info = stock_nodes().get(node_class.class_type), node_info(node_class)
    if own is None:
        return {"input": {}, **{part: [] for part in _OUTPUT_PARTS}}
    first = len(_output_names(info, own))
    return {
        "input": {name: info["input"]["optional"][name] for name in _added_inputs(node_class)},
        **{part: info[part][first:] for part in _OUTPUT_PARTS},
    }


@cache
def stock_nodes() -> Mapping[str, Any]:
    """What ComfyUI's editor knows of ComfyUI's own nodes beyond their declarations, by class.

    ``title``, ``module`` (of Python), ``category``; ``new``: written against the newer interface; ``flags``;
    ``outputs`` and ``output_types`` where they are not the declared names in capitals and the declared types;
    ``hidden`` inputs; ``optional``: parameters that may be absent; ``grown``: inputs that the editor repeats,
    in place of ``name.a``, ``name.b``, ...; and for single ``inputs``: ``new``, ``type``, ``files`` (the
    kind), hints to ``set`` and to ``drop``.
    """
    text = (Path(__file__).parent / "stock_nodes.json").read_text(encoding="utf-8")
    stock: dict[str, Any] = json.loads(text)
    return stock


def required_inputs(node_class: type[Node]) -> list[str]:
    """The inputs without which ComfyUI refuses one of its own nodes; of other nodes those without default."""
    if (own := stock_nodes().get(node_class.class_type)) is None:
        return [name for name, field in node_class.model_fields.items() if field.is_required()]
    declared = node_info(node_class)["input"]["required"]
    return [name for name in declared if name not in own.get("optional", ()) and "." not in name]


def with_present(names: list[str], present: Any) -> list[str]:
    """The names with the present value among them, or the editor would offer it and refuse it."""
    return [present, *names] if isinstance(present, str) and present not in names else names


def _own_files(node_class: type[Node], name: str, spec: Spec) -> str | None:
    if spec[1].get("image_upload"):
        return "input"
    return _OWN_FILES.get((node_class.class_type, name))


def _stock_inputs(
    node_class: type[Node], declared: Mapping[str, Any], own: Mapping[str, Any], files: FileNames
) -> dict[str, Any]:
    changes, optional, grown = own.get("inputs", {}), own.get("optional", ()), own.get("grown", {})
    added = _added_inputs(node_class)
    inputs: dict[str, Any] = {"required": {}, "optional": {}}
    for name in inputs_of(node_class):
        if name.partition(".")[0] in grown or name in added:
            continue
        part = "required" if name in declared["required"] else "optional"
        spec = _stock_input(declared[part][name], changes.get(name, {}), files)
        inputs["optional" if name in optional else part][name] = spec
    inputs["required"] |= grown
    if not inputs["optional"]:
        del inputs["optional"]
    if "hidden" in own:
        inputs["hidden"] = own["hidden"]
    return inputs


def _stock_input(spec: Spec, change: Mapping[str, Any], files: FileNames) -> Spec:
    kind, hints = spec
    hints = {name: value for name, value in hints.items() if name not in change.get("drop", ())}
    if "files" in change:
        kind = files(change["files"])
    if isinstance(kind, list) and "default" in hints and hints["default"] in kind[:1]:
        del hints["default"]  # the editor begins with the first choice in any case
    hints |= change.get("set", {})
    if change.get("new") and isinstance(kind, list):
        return ["COMBO", {"multiselect": False, "options": kind, **hints}]
    return [change.get("type", kind), hints]


def _name_outputs(info: dict[str, Any], own: Mapping[str, Any]) -> None:
    """ComfyUI's outputs, with its names and types."""
    names, types = _output_names(info, own), own.get("output_types", [])
    info |= {part: info[part][: len(names)] for part in _OUTPUT_PARTS}
    info["output_name"] = names
    info["output"] = [*types, *info["output"][len(types) :]]


def _output_names(info: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    return list(own.get("outputs", [name.upper() for name in info["output_name"]]))


def _added_inputs(node_class: type[Node]) -> list[str]:
    return [spec.name for spec in inputs_of(node_class).values() if spec.is_added]
