"""How pydantic comes to take a link wherever a node has an input."""

from __future__ import annotations

from typing import Any

from pydantic_core import core_schema

from run_graph.graph.links import Link

LINK, VALUE = "link", "value"
"""Where errors are located, below the input: each input is tried as a link, then as a value."""

_LINK_SCHEMA = core_schema.is_instance_schema(Link)


def let_links_pass(schema: dict[str, Any]) -> None:
    """Let every field of a model's core schema take a link too; changes the schema in place.

    A link stands for a value that does not exist yet. The choice is pydantic's own: a validator in Python
    that lets links pass would cost each input of each node half a microsecond, literals included.
    """
    while schema["type"] != "model-fields":  # around them lie the model, and validators of the whole model
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
