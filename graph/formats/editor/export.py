"""A workflow as a file of ComfyUI's editor, laid out as drawings are.

The other way round, :mod:`graph.formats.editor.conversion` makes the same workflow of it, with the defaults
of widgets written out and outputs called by their numbers: the editor knows no other form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from run_graph.graph.declaration import inputs_of, output_table
from run_graph.graph.draw.diagram import DiagramNode, diagram_of
from run_graph.graph.draw.layout import Box, lay_out
from run_graph.graph.faults import Fault, WorkflowError, listed, shorten
from run_graph.graph.formats.editor.document import ALWAYS, SUBGRAPH_INPUT, SUBGRAPH_OUTPUT
from run_graph.graph.formats.editor.export_node import NodeParts, Slot, node_parts
from run_graph.graph.formats.editor.reading import MAXIMUM_ID
from run_graph.graph.formats.editor.schema import RegistrySchemas
from run_graph.graph.formats.editor.texts import can_be_escaped
from run_graph.graph.formats.editor.virtual_nodes import VIRTUAL
from run_graph.graph.links import Link
from run_graph.graph.registry import Registry
from run_graph.graph.sockets import ANY
from run_graph.graph.workflow import Workflow

FORMAT = 0.4
"""The version of the editor's format."""

# The editor's text is larger than a drawing's, and it counts a node's place from below its title.
_SCALE, _TITLE = 1.25, 30
_LINES = 4  # rows of a drawing that a widget of several lines takes beside its own
_TAKEN = {SUBGRAPH_INPUT, SUBGRAPH_OUTPUT, "-1"}  # what the editor means by these ids is something else
_LARGEST = 2**53  # of JavaScript's whole numbers
_MAXIMUM_OUTPUTS = 1000  # of a class that is not known

_Sources = dict[tuple[str, str], tuple[str, int]]


@dataclass(frozen=True)
class Exported:
    """An editor file.

    Attributes
    ----------
    document : dict
        The file's JSON object.
    notes : tuple of str
        What the editor may read differently.
    """

    document: dict[str, Any]
    notes: tuple[str, ...]


def exported(workflow: Workflow, registry: Registry) -> Exported:
    """A workflow as a file of ComfyUI's editor, version 0.4.

    Each node has its place and size, its slots, and the values of all its widgets in the editor's order. A
    seed stays as it is after a run ("fixed"). Inputs that ComfyUI's node of that name does not have are kept
    in a property of the node.

    Raises
    ------
    WorkflowError
        If a link leads nowhere; names all such links.
    """
    sources = _sources(workflow, registry)
    wanted = _wanted(workflow, sources, registry)
    schemas = RegistrySchemas(registry)
    parts = {
        node_id: node_parts(spec, wanted[node_id], registry, schemas)
        for node_id, spec in workflow.nodes.items()
    }
    names = _editor_ids(workflow)
    links = list(_links(workflow, parts, sources, names))
    nodes = list(_nodes(workflow, parts, names, links, _boxes(workflow, parts, registry)))
    document = {
        "revision": 0,
        "last_node_id": _last_number(names),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": FORMAT,
    }
    return Exported(document, tuple(_notes(workflow, schemas, names)))


def _sources(workflow: Workflow, registry: Registry) -> _Sources:
    """The output that each linked input reads, by node and input: its node and its number."""
    found: _Sources = {}
    faults: list[Fault] = []
    for node_id, spec in workflow.nodes.items():
        for name, value in spec.inputs.items():
            if isinstance(value, Link):
                slot = _slot(value, workflow, registry)
                if slot is not None:
                    found[node_id, name] = value.node_id, slot
                    continue
                message = "the link leads to no output"
            elif isinstance(value, list):
                message = "a list is a link, but this one has no node and output"
            else:
                continue
            fix = "Run run-graph FILE --validate, which says what is there."
            faults.append(
                Fault("bad_linked_input", message, fix, node_id, spec.class_type, name, shorten(value))
            )
    if faults:
        raise WorkflowError(faults)
    return found


def _slot(link: Link, workflow: Workflow, registry: Registry) -> int | None:
    """The number of the output that a link names; None if there is none."""
    source = workflow.nodes.get(link.node_id)
    if source is None:
        return None
    if (node_class := registry.get(source.class_type)) is not None:
        output = output_table(node_class).get(link.slot)
        return None if output is None else output.slot
    return link.slot if isinstance(link.slot, int) and 0 <= link.slot < _MAXIMUM_OUTPUTS else None


def _wanted(workflow: Workflow, sources: _Sources, registry: Registry) -> dict[str, dict[int, str]]:
    """The types that inputs accept, by the node and the slot that they are linked to."""
    wanted: dict[str, dict[int, str]] = defaultdict(dict)
    for (node_id, name), (source, slot) in sources.items():
        node_class = registry.get(workflow.nodes[node_id].class_type)
        spec = inputs_of(node_class).get(name) if node_class else None
        wanted[source].setdefault(slot, spec.socket if spec else ANY)
    return wanted


def _editor_ids(workflow: Workflow) -> dict[str, int | str]:
    """The id of each node in the editor: a number where it is one, and a new number for what it cannot be."""
    names: dict[str, int | str] = {}
    renamed: list[str] = []
    for node_id in workflow.nodes:
        if node_id in _TAKEN or len(node_id) > MAXIMUM_ID:
            renamed.append(node_id)
        elif (
            node_id.isascii()
            and node_id.isdigit()
            and str(int(node_id)) == node_id
            and int(node_id) < _LARGEST
        ):
            names[node_id] = int(node_id)
        else:
            names[node_id] = node_id
    first = _last_number(names) + 1
    return {**names, **{node_id: number for number, node_id in enumerate(renamed, first)}}


def _last_number(names: Mapping[str, int | str]) -> int:
    return max((each for each in names.values() if isinstance(each, int)), default=0)


def _links(
    workflow: Workflow, parts: Mapping[str, NodeParts], sources: _Sources, names: Mapping[str, int | str]
) -> Iterator[list[Any]]:
    """The links: each its number, output, input and type."""
    number = 0
    for node_id in workflow.nodes:
        for place, slot in enumerate(parts[node_id].slots):
            if (origin := sources.get((node_id, slot.name))) is None:
                continue
            number += 1
            source, output = origin
            kind = parts[source].outputs[output].type
            yield [number, names[source], output, names[node_id], place, kind]


def _boxes(workflow: Workflow, parts: Mapping[str, NodeParts], registry: Registry) -> dict[str, Box]:
    """The place of each node in a drawing in which it has as many rows as in the editor."""
    diagram = diagram_of(workflow, registry)
    nodes = {
        node_id: _with_rows(node, parts[node_id].widgets + _LINES * parts[node_id].tall)
        for node_id, node in diagram.nodes.items()
    }
    return dict(zip(nodes, lay_out(replace(diagram, nodes=nodes)).boxes, strict=True))


def _with_rows(node: DiagramNode, rows: int) -> DiagramNode:
    blank = (("", ""),) * (rows - len(node.parameters))
    return replace(node, parameters=node.parameters + blank)


def _nodes(
    workflow: Workflow,
    parts: Mapping[str, NodeParts],
    names: Mapping[str, int | str],
    links: Sequence[Sequence[Any]],
    boxes: Mapping[str, Box],
) -> Iterator[dict[str, Any]]:
    """The entries of all nodes."""
    into = {(link[3], link[4]): link[0] for link in links}
    out_of: dict[tuple[int | str, int], list[int]] = defaultdict(list)
    for link in links:
        out_of[link[1], link[2]].append(link[0])
    ranks = {node_id: rank for rank, node_id in enumerate(workflow.order() or workflow.nodes)}
    for node_id, spec in workflow.nodes.items():
        part, own_id, box = parts[node_id], names[node_id], boxes[node_id]
        entry: dict[str, Any] = {
            "id": own_id,
            "type": spec.class_type,
            "pos": [round(box.x * _SCALE), round(box.y * _SCALE) + _TITLE],
            "size": [round(box.width * _SCALE), round(box.height * _SCALE) - _TITLE],
            "flags": {},
            "order": ranks[node_id],
            "mode": ALWAYS,
            "inputs": [_input(slot, into.get((own_id, place))) for place, slot in enumerate(part.slots)],
            "outputs": [
                {"name": name, "type": kind, "links": out_of[own_id, place]}
                for place, (name, kind) in enumerate(part.outputs)
            ],
            "properties": part.properties(spec),
            "widgets_values": list(part.values),
        }
        if part.named is not None:
            entry["widgets_values_named"] = part.named
        if spec.title is not None:
            entry["title"] = spec.title
        yield entry


def _input(slot: Slot, link: int | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": slot.name, "type": slot.type, "link": link}
    return {**entry, "widget": {"name": slot.name}} if slot.has_widget else entry


def _notes(workflow: Workflow, schemas: RegistrySchemas, names: Mapping[str, int | str]) -> Iterator[str]:
    unknown = dict.fromkeys(
        spec.class_type for spec in workflow.nodes.values() if schemas.inputs(spec.class_type) is None
    )
    if virtual := [name for name in unknown if name in VIRTUAL]:
        yield f"classes that exist in ComfyUI's editor only, which does not run them: {listed(virtual)}"
    if others := [name for name in unknown if name not in VIRTUAL]:
        yield f"the values of unknown classes are in the order of the file: {listed(others)}"
    if changed := [f"{old!r} is {new}" for old, new in names.items() if str(new) != old]:
        yield f"ids that the editor cannot have: {listed(changed)}"
    if texts := list(_changed_texts(workflow, schemas)):
        yield "in these texts the editor takes a backslash for a sign of its own: " + listed(texts)


def _changed_texts(workflow: Workflow, schemas: RegistrySchemas) -> Iterator[str]:
    for node_id, spec in workflow.nodes.items():
        for name, each in (schemas.inputs(spec.class_type) or {}).items():
            value = spec.inputs.get(name)
            if each.is_dynamic and isinstance(value, str) and not can_be_escaped(value):
                yield f"{node_id}.{name}"
