"""Group nodes, which ComfyUI had before subgraphs, made into subgraphs.

A file has the definition of a group under ``extra.groupNodes``: nodes without ids, links between their
positions, and the outputs that are read from outside. What an instance shows follows from it: first the
sockets inside that are not linked, node by node, then the widgets that were made into inputs. Its values are
those of all widgets inside, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.editor.document import (
    SUBGRAPH_INPUT,
    SUBGRAPH_OUTPUT,
    EditorDocument,
    EditorGraph,
    EditorLink,
    EditorNode,
    Port,
)
from run_graph.graph.formats.editor.reading import read_nodes
from run_graph.graph.formats.editor.schema import EditorInput, EditorSchemas
from run_graph.graph.formats.editor.scopes import MAXIMUM_EXPANDED, too_many
from run_graph.graph.formats.editor.virtual_nodes import PRIMITIVE, REROUTES
from run_graph.graph.formats.editor.widgets import by_position

_PREFIXES = ("workflow>", "workflow/")


@dataclass(frozen=True)
class _Group:
    """A definition: its graph, and the widgets that an instance has values for, by ``node.name``."""

    graph: EditorGraph
    widgets: Mapping[str, EditorInput]


def with_group_nodes(document: EditorDocument, schemas: EditorSchemas) -> EditorDocument:
    """The same document with each group node as an instance of a subgraph.

    Raises
    ------
    WorkflowError
        If a definition cannot be understood.
    """
    groups = {
        name: _read_group(name, written, schemas)
        for name, written in document.group_nodes.items()
        if isinstance(written, Mapping)
    }
    if not groups:
        return document
    subgraphs = dict(document.subgraphs) | {_PREFIXES[0] + name: each.graph for name, each in groups.items()}
    return replace(
        document,
        root=_with_instances(document.root, groups),
        subgraphs={key: _with_instances(graph, groups) for key, graph in subgraphs.items()},
    )


def _with_instances(graph: EditorGraph, groups: Mapping[str, _Group]) -> EditorGraph:
    nodes = dict(graph.nodes)
    total = 0
    for node in graph.nodes.values():
        name = next((node.type.removeprefix(each) for each in _PREFIXES if node.type.startswith(each)), "")
        if name in groups and name != node.type:
            total += len(groups[name].widgets)
            if total > MAXIMUM_EXPANDED:
                raise too_many(node.id)
            nodes[node.id] = _instance(node, name, groups[name])
    return replace(graph, nodes=nodes)


def _instance(node: EditorNode, name: str, group: _Group) -> EditorNode:
    """A group node as an instance of a subgraph whose widgets are named by ``proxyWidgets``."""
    ports = group.graph.inputs
    known = {port.name for port in ports}
    inputs = tuple(
        slot if slot.name in known or index >= len(ports) else replace(slot, name=ports[index].name)
        for index, slot in enumerate(node.inputs)
    )
    saved = node.values if isinstance(node.values, list) else []
    given = by_position(saved, group.widgets.items())
    proxies = [key.split(".", 1) for key in group.widgets]
    return replace(
        node,
        type=_PREFIXES[0] + name,
        inputs=inputs,
        values=[given.get(key) for key in group.widgets],
        named=None,
        properties={**node.properties, "proxyWidgets": proxies},
    )


def _read_group(name: str, written: Mapping[str, Any], schemas: EditorSchemas) -> _Group:
    entries, links = written.get("nodes"), written.get("links")
    if not isinstance(entries, list) or not isinstance(links, list):
        message = f"the definition of the group node {name!r} has no nodes and links"
        raise WorkflowError([Fault("bad_group_node", message, "Remove it, or save the file again.")])
    nodes = read_nodes(
        [
            {**entry, "id": index, "order": index} if isinstance(entry, Mapping) else entry
            for index, entry in enumerate(entries)
        ]
    )
    reader = _GroupReader(nodes, _internal_links(links, nodes), written, schemas)
    return _Group(reader.graph(name), reader.widgets)


def _internal_links(entries: Sequence[Any], nodes: Mapping[str, EditorNode]) -> list[EditorLink]:
    links: list[EditorLink] = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) < 4:
            continue
        origin, origin_slot, target, target_slot = entry[:4]
        if not all(isinstance(each, int) and each >= 0 for each in entry[:4]):
            continue  # it comes from outside
        if str(origin) in nodes and target_slot < len(getattr(nodes.get(str(target)), "inputs", ())):
            links.append(EditorLink(str(origin), origin_slot, str(target), target_slot))
    return links


class _GroupReader:
    """Works out what a group shows outside, as the editor does."""

    def __init__(
        self,
        nodes: Mapping[str, EditorNode],
        links: Sequence[EditorLink],
        written: Mapping[str, Any],
        schemas: EditorSchemas,
    ) -> None:
        self._nodes = nodes
        self._links = {str(index): link for index, link in enumerate(links)}
        self._into = {(link.target, link.target_slot): key for key, link in self._links.items()}
        self._from = {(link.origin, link.origin_slot) for link in links}
        external, config = written.get("external"), written.get("config")
        self._external = {
            (str(entry[0]), entry[1])
            for entry in (external if isinstance(external, list) else ())
            if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[1], int)
        }
        self._config: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
        self._schemas = schemas
        self._seen: dict[str, int] = {}
        self.widgets: dict[str, EditorInput] = {}

    def graph(self, name: str) -> EditorGraph:
        """The group as a subgraph; afterwards the widgets are known too."""
        inputs: list[Port] = []
        outputs: list[Port] = []
        shown = [node for node in self._nodes.values() if self._is_shown(node)]
        for node in shown:
            self._add_widgets(node)
            self._add_inputs(node, inputs, converted=False)
            self._add_outputs(node, outputs)
        for node in shown:
            self._add_inputs(node, inputs, converted=True)
        nodes = {node.id: self._relinked(node) for node in self._nodes.values()}
        return EditorGraph(name, nodes, self._links, tuple(inputs), tuple(outputs))

    def _is_shown(self, node: EditorNode) -> bool:
        """Whether its sockets may be shown; not those of a reroute between nodes inside."""
        if node.type not in REROUTES:
            return True
        return not (
            (node.id, 0) in self._into and (node.id, 0) in self._from and (node.id, 0) not in self._external
        )

    def _add_widgets(self, node: EditorNode) -> None:
        linked = {slot.widget for slot in node.inputs}
        for name, each in self._widgets_of(node):
            if name not in linked:
                self.widgets[f"{node.id}.{name}"] = each
                self._shown_name(node, name)

    def _widgets_of(self, node: EditorNode) -> Iterator[tuple[str, EditorInput]]:
        if node.type == PRIMITIVE and (node.id, 0) in self._from:
            kind = node.outputs[0] if node.outputs else ""
            control = {"INT": 1, "FLOAT": 1, "COMBO": 2}.get(kind, 0)
            yield "value", EditorInput("value", kind, is_widget=True, extra_slots=control)
        for name, each in (self._schemas.inputs(node.type) or {}).items():
            if each.is_widget:
                yield name, replace(each, extra_slots=each.extra_slots + each.has_button)

    def _add_inputs(self, node: EditorNode, ports: list[Port], *, converted: bool) -> None:
        known = dict(self._widgets_of(node))
        for index, slot in enumerate(node.inputs):
            if (slot.widget is not None) != converted or (node.id, index) in self._into:
                continue
            name = slot.type if node.type in REROUTES else slot.name
            shown = self._shown_name(node, name)
            if self._setting(node, "input", name).get("visible") is False:
                continue
            if slot.widget is not None and slot.widget in known:
                self.widgets[f"{node.id}.{slot.widget}"] = known[slot.widget]
            key = f"in{len(ports)}"
            self._links[key] = EditorLink(SUBGRAPH_INPUT, len(ports), node.id, index)
            self._into[node.id, index] = key
            ports.append(Port(shown, slot.type, (key,)))

    def _add_outputs(self, node: EditorNode, ports: list[Port]) -> None:
        for slot, kind in enumerate(node.outputs):
            place = (node.id, slot)
            visible = self._setting(node, "output", str(slot)).get("visible")
            is_inside = place in self._from and place not in self._external
            if visible if isinstance(visible, bool) else not is_inside:
                key = f"out{len(ports)}"
                self._links[key] = EditorLink(node.id, slot, SUBGRAPH_OUTPUT, len(ports))
                ports.append(Port(kind, kind, (key,)))

    def _setting(self, node: EditorNode, side: str, name: str) -> Mapping[str, Any]:
        """What the user set for an input or output of the group in the editor's dialogue."""
        place: Any = self._config
        for key in (node.id, side, name):
            place = place.get(key) if isinstance(place, Mapping) else None
        return place if isinstance(place, Mapping) else {}

    def _shown_name(self, node: EditorNode, name: str) -> str:
        """What an input is called outside: its own name, and that of its node if it is taken."""
        custom = self._setting(node, "input", name).get("name")
        shown = key = custom if isinstance(custom, str) else name
        if shown in self._seen or (node.type == PRIMITIVE and node.title):
            prefix = node.title or node.type
            shown = key = f"{prefix} {name}"
            if shown in self._seen:
                shown = f"{prefix} {self._seen[shown]} {name}"
        self._seen[key] = self._seen.get(key, 1) + 1
        return shown

    def _relinked(self, node: EditorNode) -> EditorNode:
        inputs = (
            replace(slot, link=self._into.get((node.id, index))) for index, slot in enumerate(node.inputs)
        )
        return replace(node, inputs=tuple(inputs))
