"""JSON Schema (draft 2020-12) of nodes and of whole workflow files, for editors and other programs.

Everything is read off the node classes: what fits an input is pydantic's own schema of the literal, or
a link. With ``run-graph --schema > workflow.schema.json`` an editor completes class names and inputs.
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
        {"type": "string", "description": "The id of the node that delivers the value."},
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
    "description": "What programs keep beside a node; not part of the computation.",
    "properties": {"title": {"type": "string", "description": "A caption for drawings and events."}},
}


def node_schema(node_class: type[Node]) -> dict[str, Any]:
    """The JSON Schema of one node as it is written in a workflow file.

    Each input takes a literal or a link; sockets such as IMAGE take a link only. Ranges, options,
    defaults and descriptions are the class's.
    """
    return {"$schema": DIALECT, **_entry(node_class), "$defs": {"link": _LINK}}


def workflow_schema(registry: Registry) -> dict[str, Any]:
    """The JSON Schema of a workflow file made of the registry's nodes: an object of id -> node."""
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
        "properties": {"$schema": {"type": "string", "description": "Where this schema lies, for editors."}},
        "additionalProperties": {"$ref": "#/$defs/node"},
        "$defs": {"link": _LINK, "node": node if choices else False},
    }


def _entry(node_class: type[Node]) -> dict[str, Any]:
    """A node's schema; refers to ``#/$defs/link``."""
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
    """What an input takes: annotations of the field outside, its literals and a link as alternatives."""
    outside = {key: field[key] for key in ("description", "default") if key in field}
    if spec.link_only:
        choices = [_LINK_REFERENCE, {"type": "null"}] if spec.nullable else [_LINK_REFERENCE]
        return {**outside, "anyOf": choices}
    literal = {key: value for key, value in field.items() if key not in ("title", "description", "default")}
    if spec.socket == ANY:
        return {**outside, "anyOf": [_NOT_A_LIST | literal, _WRAPPED_LIST, _LINK_REFERENCE]}
    return {**outside, "anyOf": [*_alternatives(literal), _LINK_REFERENCE]}


def _alternatives(literal: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of a plain union, else the literal's schema itself."""
    return literal["anyOf"] if literal.keys() == {"anyOf"} else [literal]
