"""JSON Schema (draft 2020-12) of nodes and of whole workflow files, for editors and other programs.

Everything is derived from the node classes: an input accepts what pydantic's own schema says of its
literal, or a link. With ``run-graph --schema > workflow.schema.json`` an editor can complete class names
and inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from run_graph.graph.declaration import InputSpec, inputs_of, outputs_of, summary_of
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.sockets import ANY, LINK_SCHEMA

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_LINK = {
    **LINK_SCHEMA,
    "prefixItems": [
        {"type": "string", "description": "The id of the node that provides the value."},
        {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
            "description": "The output, by slot number or by name.",
        },
    ],
}
_LINK_REFERENCE = {"$ref": "#/$defs/link"}
# A list is always a link, so a literal list is wrapped.
_WRAPPED_LIST = {
    "type": "object",
    "title": "Literal list",
    "properties": {"__value__": {"type": "array"}},
    "required": ["__value__"],
    "additionalProperties": False,
}
_NOT_A_LIST = {"type": ["null", "boolean", "number", "string", "object"]}
_META = {
    "type": "object",
    "description": "Metadata of the node; it does not affect the computation.",
    "properties": {"title": {"type": "string", "description": "A caption for drawings and events."}},
}


def workflow_schema(registry: Registry) -> dict[str, Any]:
    """The JSON Schema of a workflow file whose nodes are in the registry: an object of id -> node.

    Each input takes a literal or a link; sockets such as IMAGE take a link only. Ranges, options, defaults
    and descriptions are those of the node's class.
    """
    choices = [
        {
            "if": {"properties": {"class_type": {"const": class_type}}, "required": ["class_type"]},
            "then": _entry(node_class),
        }
        for class_type, node_class in registry.items()
    ]
    class_types = {
        "enum": list(registry),
        "description": "The class of the node.",
        # Editors that know this keyword show it beside each completion.
        "enumDescriptions": [summary_of(node_class) for node_class in registry.values()],
    }
    node = {
        "type": "object",
        "properties": {"class_type": class_types, "inputs": {"type": "object"}, "_meta": _META},
        "required": ["class_type"],
        "allOf": choices,
    }
    return {
        "$schema": DIALECT,
        "title": "run-graph workflow",
        "description": "Nodes by id, as in ComfyUI's API format.",
        "type": "object",
        "properties": {"$schema": {"type": "string", "description": "Where this schema is, for editors."}},
        "additionalProperties": {"$ref": "#/$defs/node"},
        "$defs": {"link": _LINK, "node": node if choices else False},
    }


def _entry(node_class: type[Node]) -> dict[str, Any]:
    """The schema of the nodes of one class; refers to ``#/$defs/link``."""
    specs = inputs_of(node_class)
    fields: Mapping[str, Any] = node_class.model_json_schema().get("properties", {})
    inputs: dict[str, Any] = {
        "type": "object",
        "properties": {name: _input(spec, fields[name]) for name, spec in specs.items()},
        "additionalProperties": False,
    }
    required = [name for name, spec in specs.items() if spec.required]
    if required:
        inputs["required"] = required
    return {
        "title": node_class.class_type,
        "description": _description(node_class),
        "type": "object",
        "properties": {
            "class_type": {"const": node_class.class_type},
            "inputs": inputs,
            "_meta": _META,
        },
        "required": ["class_type", "inputs"] if required else ["class_type"],
        "additionalProperties": False,
    }


def _description(node_class: type[Node]) -> str:
    outputs = ", ".join(f"{out.slot} = {out.name} ({out.socket})" for out in outputs_of(node_class))
    return f"{summary_of(node_class)} Outputs: {outputs}." if outputs else summary_of(node_class)


def _input(spec: InputSpec, field: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an input: description and default, then its literals and a link as alternatives."""
    outside = {key: field[key] for key in ("description", "default") if key in field}
    if spec.link_only:
        choices = [_LINK_REFERENCE, {"type": "null"}] if spec.nullable else [_LINK_REFERENCE]
        return {**outside, "anyOf": choices}
    literal = {key: value for key, value in field.items() if key not in ("title", "description", "default")}
    if spec.socket == ANY:
        return {**outside, "anyOf": [_NOT_A_LIST | literal, _WRAPPED_LIST, _LINK_REFERENCE]}
    return {**outside, "anyOf": [*_alternatives(literal), _LINK_REFERENCE]}


def _alternatives(literal: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of a plain union, or else the one schema."""
    return literal["anyOf"] if literal.keys() == {"anyOf"} else [literal]
