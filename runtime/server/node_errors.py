"""The faults of a workflow in the form of ComfyUI's ``node_errors``, which editors mark nodes with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from run_graph.graph.declaration import InputSpec, inputs_of, plain_number
from run_graph.graph.faults import Fault
from run_graph.graph.node import Node

_SHOWN_OPTIONS = 20

Given = Mapping[str, Any]
"""The inputs of a node as they were sent."""


def node_error(fault: Fault, given: Given, node_class: type[Node], config: Any) -> dict[str, Any]:
    """One entry of a node's ``errors``: type, message, details and extra_info.

    Parameters
    ----------
    fault : Fault
    given : mapping
        The node's inputs as they were sent.
    node_class : type
    config : list or None
        The input's declaration in ``/object_info``.
    """
    name = fault.input or ""
    spec = inputs_of(node_class).get(name)
    type_, message, details = _WORDS.get(fault.code, _our_words)(fault, given.get(name), spec)
    extra: dict[str, Any] = {"fix": fault.fix}
    if name:
        extra |= {"input_name": name, "input_config": _short(config)}
        if name in given:
            extra["received_value"] = given[name]
    if fault.code == "return_type_mismatch":
        extra |= {"received_type": fault.found, "linked_node": given.get(name)}
    return {"type": type_, "message": message, "details": details, "extra_info": extra}


_Words = tuple[str, str, str]


def _missing(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    return fault.code, "Required input is missing", f"{fault.input}"


def _bad_link(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    return "bad_linked_input", message, f"{fault.input}"


def _lost_link(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    return "bad_linked_input", f"Bad linked input: {fault.message}", f"{fault.input}. {fault.fix}"


def _mismatch(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    details = f"{fault.input}, received_type({fault.found}) mismatch input_type({fault.expected})"
    return fault.code, "Return type mismatch between linked nodes", details


def _too_small(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    bound = plain_number(spec.minimum or 0) if spec else "allowed"
    return fault.code, f"Value {value} smaller than min of {bound}", f"{fault.input}"


def _too_large(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    bound = plain_number(spec.maximum or 0) if spec else "allowed"
    return fault.code, f"Value {value} bigger than max of {bound}", f"{fault.input}"


def _not_in_list(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    options = list(spec.options) if spec else []
    listed = str(options) if len(options) <= _SHOWN_OPTIONS else f"(list of length {len(options)})"
    return fault.code, "Value not in list", f"{fault.input}: {str(value)!r} not in {listed}"


def _wrong_type(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    socket = spec.socket if spec else "valid"
    message = f"Failed to convert an input value to a {socket} value"
    return fault.code, message, f"{fault.input}, {fault.found}, {fault.message}"


def _custom(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    return fault.code, "Custom validation failed for node", f"{fault.input} - {fault.message}"


def _cycle(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    return fault.code, "Dependency cycle detected", fault.message.partition(": ")[2] or fault.message


def _our_words(fault: Fault, value: Any, spec: InputSpec | None) -> _Words:
    place = f"{fault.input}: " if fault.input else ""
    return fault.code, fault.message[:1].upper() + fault.message[1:], f"{place}{fault.fix}"


_WORDS: Mapping[str, Callable[[Fault, Any, InputSpec | None], _Words]] = {
    "required_input_missing": _missing,
    "bad_linked_input": _bad_link,
    "link_to_missing_node": _lost_link,
    "link_to_missing_output": _lost_link,
    "return_type_mismatch": _mismatch,
    "value_smaller_than_min": _too_small,
    "value_bigger_than_max": _too_large,
    "value_not_in_list": _not_in_list,
    "invalid_input_type": _wrong_type,
    "custom_validation_failed": _custom,
    "dependency_cycle": _cycle,
}


def _short(config: Any) -> Any:
    """A declaration without a list of very many choices, as ComfyUI sends it."""
    if isinstance(config, list) and isinstance(config[0], list) and len(config[0]) > _SHOWN_OPTIONS:
        return None
    return config
