"""Translate pydantic's errors about the literals of a node into faults of the workflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import ValidationError

from run_graph.graph.declaration import InputSpec, inputs_of, plain_number
from run_graph.graph.faults import Fault, listed, shorten, suggestion
from run_graph.graph.link_schema import LINK
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry

_CODES = {
    "missing": "required_input_missing",
    "extra_forbidden": "unknown_input",
    "literal_error": "value_not_in_list",
    "greater_than_equal": "value_smaller_than_min",
    "less_than_equal": "value_bigger_than_max",
    "multiple_of": "value_not_a_multiple",
    "value_error": "custom_validation_failed",
}


def how_to_give_in_a_file(spec: InputSpec, registry: Registry) -> str:
    """The fix for an input that is missing, or holds a value where it takes a link."""
    if not spec.link_only:
        return f'Add "{spec.name}": ... to the inputs of the node.'
    producers = listed(registry.producing(spec.socket), 3)
    origin = f" of {producers}" if producers else ""
    return f'Link it to an output{origin}: "{spec.name}": ["node id", slot].'


def literal_faults(
    error: ValidationError,
    node_class: type[Node],
    registry: Registry,
    how_to_give: Callable[..., str] = how_to_give_in_a_file,
) -> list[Fault]:
    """One fault for each input that pydantic rejected, with its fix.

    ``how_to_give(spec, registry)`` writes the fix for an input that is missing or takes a link, in the
    notation of the place of the fault: a file or Python.
    """
    specs = inputs_of(node_class)
    fix = partial(how_to_give, registry=registry)
    faults: dict[str, Fault] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "is_instance_of" and detail["loc"][1:] == (LINK,):
            continue  # not a link, so it was meant as a value; pydantic reports that error as well
        name = str(detail["loc"][0]) if detail["loc"] else ""
        if name not in faults:
            faults[name] = _fault(name, dict(detail), specs.get(name), node_class, fix)
    return list(faults.values())


def _fault(
    name: str,
    detail: dict[str, Any],
    spec: InputSpec | None,
    node_class: type[Node],
    how_to_give: Callable[[InputSpec], str],
) -> Fault:
    code = _CODES.get(detail["type"], "invalid_input_type")
    if code == "unknown_input":
        return _unknown_input(name, node_class)
    if spec is None:  # a rule over several inputs
        return Fault("custom_validation_failed", _words(detail), "Change one of these inputs.")
    expected = spec.expectation()
    if code == "required_input_missing":
        return Fault(code, "a required input is missing", how_to_give(spec), input=name, expected=expected)
    found = detail["input"]
    if spec.link_only:
        return Fault(
            code,
            "this input takes a link, not a value",
            how_to_give(spec),
            input=name,
            found=shorten(found),
            expected=expected,
        )
    message, fix = _literal_words(code, detail, spec, found)
    return Fault(code, message, fix, input=name, found=shorten(found), expected=expected)


def _literal_words(code: str, detail: dict[str, Any], spec: InputSpec, found: Any) -> tuple[str, str]:
    if code == "value_not_in_list":
        advice = "Write one of the values listed."
        return "the value is not one of those allowed", suggestion(str(found), map(str, spec.options), advice)
    if code == "value_smaller_than_min":
        return "the value is too small", f"Write at least {plain_number(spec.minimum or 0)}."
    if code == "value_bigger_than_max":
        return "the value is too large", f"Write at most {plain_number(spec.maximum or 0)}."
    if code == "value_not_a_multiple":
        return f"the value is not a multiple of {plain_number(spec.multiple_of or 1)}", _nearest_multiples(
            spec, found
        )
    if code == "custom_validation_failed":
        return _words(detail), "Change the value."
    return _words(detail), f"Write {spec.expectation()}."


def _unknown_input(name: str, node_class: type[Node]) -> Fault:
    names = inputs_of(node_class)
    listing = ", ".join(names) or "none"
    return Fault(
        "unknown_input",
        f"{node_class.class_type} has no such input",
        suggestion(name, names, "Remove it."),
        input=name,
        expected=f"one of {listing}",
    )


def _nearest_multiples(spec: InputSpec, found: Any) -> str:
    step = spec.multiple_of or 1
    number = found if isinstance(found, int) else float(found)  # "500" is accepted as a number too
    lowest = -math.inf if spec.minimum is None else math.ceil(spec.minimum / step)
    highest = math.inf if spec.maximum is None else math.floor(spec.maximum / step)
    steps = dict.fromkeys(min(max(count, lowest), highest) for count in (number // step, number // step + 1))
    legal = [plain_number(int(count) * step) for count in steps]
    return f"The nearest legal value{'s are' if len(legal) > 1 else ' is'} {' and '.join(legal)}."


def _words(detail: dict[str, Any]) -> str:
    text = str(detail["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
