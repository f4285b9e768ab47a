"""Faults of nodes and graphs that are built in Python: the words of faults in files, the fixes in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from run_graph.graph.declaration import InputSpec, inputs_of, output_table
from run_graph.graph.faults import Fault, WorkflowError, listed, shorten, suggestion
from run_graph.graph.json_values import bad_json_value, not_for_a_file
from run_graph.graph.link_faults import link_to_a_maker, mismatch, missing_output, output_that_fits
from run_graph.graph.links import Link, OutputHandle
from run_graph.graph.literal_faults import literal_faults
from run_graph.graph.node import Node, Outputs
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.sockets import compatible


def rejected(error: ValidationError, node_class: type[Node], values: Mapping[str, Any]) -> WorkflowError:
    """What to raise when a node is created with values that pydantic rejected."""
    specs = inputs_of(node_class)
    faults = []
    for fault in literal_faults(error, node_class, installed_nodes(), how_to_give_in_python):
        name = fault.input or ""
        given = values.get(name)
        if name in specs and isinstance(given, (Node, Outputs)):
            fault = _meant_its_output(fault, specs[name], given)
        elif isinstance(given, PurePath):
            fault = replace(fault, fix=f"To give what is in the file: {name}=path.read_text().")
        faults.append(fault.at(None, node_class.class_type))
    return WorkflowError(faults)


def how_to_give_in_python(spec: InputSpec, registry: Registry) -> str:
    """The fix for an input that is missing, or holds a value where it takes a link."""
    if not spec.link_only:
        return f"Give it: {spec.name}=..."
    producers = registry.producing(spec.socket)
    if not producers:
        return f"Pass an output of a node that makes {spec.socket}: {spec.name}=..."
    output = output_that_fits(registry[producers[0]], spec.socket)
    return (
        f"Pass an output of {listed(producers, 3)}: "
        f"{spec.name}=g.add({registry[producers[0]].__name__}(...)).{output}."
    )


def name_faults(node_id: Any, title: Any, nodes: Mapping[str, Node]) -> Iterator[Fault]:
    """What is wrong with the id and the title of a node that is added to these."""
    if not isinstance(node_id, str):
        yield Fault("invalid_id", "the id of a node is text", f"Write id={str(node_id)!r}.")
    elif (problem := bad_json_value(node_id)) is not None:
        yield Fault("invalid_id", problem, "Give another id.")
    elif node_id in nodes:
        yield Fault("duplicate_id", f"the graph already has a node {node_id!r}", "Give it another id.")
    if title is not None and not isinstance(title, str):
        yield Fault("invalid_title", "the title of a node is text", f"Write title={str(title)!r}.")


def input_faults(
    node: Node, graph: object, nodes: Mapping[str, Node], registry: Callable[[], Registry]
) -> Iterator[Fault]:
    """What is wrong with the inputs of a node that is added to a graph, which has these nodes.

    ``registry`` is called only for a fix: to load all nodes takes time.
    """
    for name, spec in inputs_of(type(node)).items():
        value = node.__dict__[name]
        if isinstance(value, Link):
            fault = _link_fault(spec, value, graph, nodes, registry)
        elif spec.link_only:
            fault = None if value is None else _value_in_a_graph(spec, value, registry())
        else:
            fault = _bad_literal(spec, value)
        if fault is not None:
            yield fault


def target_in_another_graph(handle: OutputHandle) -> Fault:
    """The fault of a target that is not in the graph that is run."""
    message = f"output {handle.name!r} of node {handle.node_id!r} is in another graph"
    return Fault("target_not_found", message, "Name a node of this graph.")


def _link_fault(
    spec: InputSpec, link: Link, graph: object, nodes: Mapping[str, Node], registry: Callable[[], Registry]
) -> Fault | None:
    if isinstance(link, OutputHandle) and link.graph is not graph:
        return Fault(
            "link_to_another_graph",
            f"output {link.name!r} of node {link.node_id!r} is in another graph",
            "Add its node to this graph, and link that.",
            input=spec.name,
        )
    if link.node_id not in nodes:
        return Fault(
            "link_to_missing_node",
            f"the link leads to node {link.node_id!r}, which is not in the graph",
            suggestion(link.node_id, nodes, "Add that node first."),
            input=spec.name,
        )
    source = type(nodes[link.node_id])
    output = output_table(source).get(link.slot)
    if output is None:
        return missing_output(spec.name, link, source)
    if compatible(output.socket, spec.socket):
        return None
    better = output_that_fits(source, spec.socket)
    fix = f"Link its output {better!r} instead." if better else link_to_a_maker(spec.socket, registry())
    return mismatch(spec.name, link, source, output, spec.socket, fix)


def _value_in_a_graph(spec: InputSpec, value: Any, registry: Registry) -> Fault:
    return Fault(
        "invalid_input_type",
        "this input of a graph takes a link, not a value, which its file could not hold",
        how_to_give_in_python(spec, registry),
        input=spec.name,
        found=shorten(value),
        expected=spec.expectation(),
    )


def _bad_literal(spec: InputSpec, value: Any) -> Fault | None:
    problem = not_for_a_file(value)
    if problem is None:
        return None
    fix = "Give text, a number, True, False, None, or a list or dict of these."
    return Fault("invalid_input_type", problem, fix, input=spec.name, found=_shown(value))


def _shown(value: Any) -> str:
    """The value on one line that can be printed anywhere, also where it is half a character."""
    return shorten(value).encode("utf-8", "backslashreplace").decode()


def _meant_its_output(fault: Fault, spec: InputSpec, given: Node | Outputs) -> Fault:
    """The fault of a node, or of all its outputs, in the place of one output."""
    if isinstance(given, Node):
        what, message = f"the node {given.class_type}", "this is a node, not one of its outputs"
        fits = output_that_fits(type(given), spec.socket)
        fix = f"Add it to the graph and pass its output {fits!r}: {spec.name}=g.add(...).{fits}."
    else:
        handles = [each for each in given.__dict__.values() if isinstance(each, OutputHandle)]
        node_id = handles[0].node_id if handles else ""
        what, message = f"the outputs of {node_id!r}", "these are all outputs of a node, not one of them"
        fits = next((each.name for each in handles if compatible(each.produced, spec.socket)), None)
        fix = f"Pass its output {fits!r}: {spec.name}=....{fits}."
    if fits is None:
        fix = fault.fix
    return replace(fault, message=message, found=what, fix=fix)
