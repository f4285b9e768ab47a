"""Make pydantic accept a link for every input of a node."""

from __future__ import annotations

from typing import Any

from pydantic_core import core_schema

from run_graph.graph.links import Link

LINK, VALUE = "link", "value"
"""The last part of an error's location: pydantic tries each input as a link, then as a value."""

_LINK_SCHEMA = core_schema.is_instance_schema(Link)


def accept_links(schema: dict[str, Any]) -> None:
    """Make every field of a model's core schema accept a link too; changes the schema in place.

    A link is a placeholder for a value that does not exist yet. The union is evaluated by pydantic itself:
    a validator written in Python would cost half a microsecond for each input of each node, literals
    included.
    """
    while schema["type"] != "model-fields":  # unwrap the model and its model validators
        schema = schema["schema"]
    for field in schema["fields"].values():
        field["schema"] = _or_link(field["schema"])


def _or_link(schema: dict[str, Any]) -> dict[str, Any]:
    if schema["type"] == "default":
        return {**schema, "schema": _or_link(schema["schema"])}
    return {
        "type": "union",
        "choices": [(_LINK_SCHEMA, LINK), (schema, VALUE)],
        "mode": "left_to_right",
    }
