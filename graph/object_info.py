"""Node classes as data, in the form of ComfyUI's ``/object_info``, which editors and scripts for it read."""

from __future__ import annotations

from typing import Any

from run_graph.graph.declaration import ADDED, InputSpec, inputs_of, outputs_of, prose_of
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry


def object_info(registry: Registry) -> dict[str, Any]:
    """All classes by name: see :func:`node_info`."""
    return {class_type: node_info(node_class) for class_type, node_class in registry.items()}


def node_info(node_class: type[Node]) -> dict[str, Any]:
    """A class as plain JSON values.

    ``input`` has the inputs in ``required`` and ``optional``, each as ``[type, hints]``. As in ComfyUI, a
    parameter is required even if it has a default, which the editor writes out; optional are sockets that may
    stay open, and parameters that ComfyUI's node of the same name does not have. The type of a choice is the
    list of its values; hints are ``default``, ``min``, ``max``, ``step``, ``tooltip``, ``lazy`` and the
    class's own. ``output`` has the types of the outputs, ``output_name`` and ``output_tooltips`` their names
    and descriptions.
    """
    specs = inputs_of(node_class).values()
    groups = {
        "required": {spec.name: _input(spec) for spec in specs if not _is_optional(spec)},
        "optional": {spec.name: _input(spec) for spec in specs if _is_optional(spec)},
    }
    outputs = outputs_of(node_class)
    return {
        "input": groups,
        "input_order": {name: list(group) for name, group in groups.items()},
        "is_input_list": False,
        "output": [output.socket for output in outputs],
        "output_is_list": [False for _ in outputs],
        "output_name": [output.name for output in outputs],
        "output_tooltips": [output.description for output in outputs],
        "name": node_class.class_type,
        "display_name": node_class.class_type,
        "python_module": node_class.__module__,
        "description": prose_of(node_class),
        "category": node_class.category,
        "output_node": node_class.is_output,
    }


def _is_optional(spec: InputSpec) -> bool:
    return not spec.required and (spec.link_only or spec.is_added)


def _input(spec: InputSpec) -> list[Any]:
    hints = {
        "default": spec.default if not spec.required else None,
        "min": spec.minimum,
        "max": spec.maximum,
        "step": spec.multiple_of,
        "tooltip": spec.description or None,
        "lazy": spec.lazy or None,
    }
    known = {name: value for name, value in hints.items() if value is not None}
    own = {name: value for name, value in spec.hints.items() if name not in ADDED}
    return [list(spec.options) if spec.options else spec.socket, {**known, **own}]
