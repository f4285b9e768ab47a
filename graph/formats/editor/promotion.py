"""Widgets that a subgraph shows on its instances, and the values that an instance gives them.

There are two ways. A *port* of the subgraph that leads to a widget inside is a widget of each instance; the
instance's ``widgets_values`` are in the order of these ports. Older files list ``[inner node, widget]`` in
the property ``proxyWidgets`` instead, and the values are in that order. A value that is missing or null is
that of the widget inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from run_graph.graph.formats.editor.document import EditorGraph, EditorNode, InputSlot, Port
from run_graph.graph.formats.editor.schema import NO_DEFAULT
from run_graph.graph.formats.editor.virtual_nodes import PRIMITIVE

# Some versions wrote the ids of the nodes on the way before the name: "12: 5: seed".
_PREFIX = re.compile(r"\s*+(?:\d++\s*+:\s*+)++")
_ITSELF = "-1"  # the id by which proxyWidgets mean an input of the instance

Widget = tuple[str, str]
"""The id of a node inside a subgraph and the name of its widget."""


@dataclass(frozen=True)
class Promotion:
    """What an instance of a subgraph says about the widgets inside.

    Attributes
    ----------
    slots : tuple of int or None
        For each port of the subgraph, the input of the instance; None if the file does not list it.
    ports : mapping
        The values of the ports that lead to widgets, by position.
    inside : mapping
        The values of shown widgets that no port leads to, by node and name; NO_DEFAULT for the widget's own.
    """

    slots: tuple[int | None, ...]
    ports: Mapping[int, Any]
    inside: Mapping[str, Mapping[str, Any]]


class Inside(Protocol):
    """What must be known of the nodes inside a subgraph."""

    def widget_of(self, node: EditorNode, slot: InputSlot) -> str | None:
        """The name of the widget behind an input; None if it is only a socket."""

    def value_of(self, graph: EditorGraph, node: EditorNode, name: str) -> Any:
        """The value of a widget; NO_DEFAULT if it has none."""

    def copies_of(self, graph: EditorGraph, primitive: EditorNode) -> Sequence[Widget]:
        """The widgets that a primitive's value is copied into."""


def promotion_of(instance: EditorNode, graph: EditorGraph, nodes: Inside) -> Promotion:
    """Read an instance of the subgraph ``graph``."""
    targets = {
        index: target
        for index, port in enumerate(graph.inputs)
        if (target := _widget_behind(port, graph, nodes)) is not None
    }
    ports = {
        index: nodes.value_of(graph, graph.nodes[node_id], name) for index, (node_id, name) in targets.items()
    }
    values = instance.values if isinstance(instance.values, list) else []
    named = instance.values if isinstance(instance.values, Mapping) else instance.named or {}
    given = {index: named.get(graph.inputs[index].name) for index in ports}
    given.update(zip(ports, values, strict=False))
    ports.update({index: value for index, value in given.items() if value is not None})

    inside: dict[str, dict[str, Any]] = {}
    port_of = {target: index for index, target in reversed(targets.items())}
    port_of |= {(_ITSELF, graph.inputs[index].name): index for index in targets}
    for index, (node_id, name) in enumerate(_proxies(instance.properties.get("proxyWidgets"))):
        value = values[index] if index < len(values) and values[index] is not None else NO_DEFAULT
        port = port_of.get((node_id, name), port_of.get((node_id, _without_prefix(name))))
        if port is None and node_id in graph.nodes:
            for inner_id, widget in _shown(graph, graph.nodes[node_id], name, nodes):
                inside.setdefault(inner_id, {})[widget] = value
        elif port is not None and value is not NO_DEFAULT:
            ports[port] = value
    return Promotion(_slots(instance.inputs, graph.inputs), ports, inside)


def _shown(graph: EditorGraph, node: EditorNode, name: str, nodes: Inside) -> Sequence[Widget]:
    """The widgets that an entry of ``proxyWidgets`` means."""
    if node.type == PRIMITIVE:
        return nodes.copies_of(graph, node)
    known = {slot.name for slot in node.inputs} | {slot.widget for slot in node.inputs}
    return [(node.id, name if name in known else _without_prefix(name))]


def _slots(inputs: Sequence[InputSlot], ports: Sequence[Port]) -> tuple[int | None, ...]:
    """For each port the input of the same name and type, else of the same name."""
    found: dict[int, int] = {}
    free = dict(enumerate(inputs))
    for by_type in (True, False):
        by_key: dict[tuple[str, str], list[int]] = {}
        for index, slot in free.items():
            by_key.setdefault((slot.name, slot.type if by_type else ""), []).append(index)
        for lists in by_key.values():
            lists.reverse()
        for position, port in enumerate(ports):
            candidates = by_key.get((port.name, port.type if by_type else ""))
            if position not in found and candidates:
                found[position] = candidates.pop()
                del free[found[position]]
    return tuple(found.get(position) for position in range(len(ports)))


def _widget_behind(port: Port, graph: EditorGraph, nodes: Inside) -> Widget | None:
    """The first widget that a port leads to."""
    for link_id in port.links:
        link = graph.links.get(link_id)
        node = graph.nodes.get(link.target) if link else None
        if link is None or node is None or link.target_slot >= len(node.inputs):
            continue
        if (name := nodes.widget_of(node, node.inputs[link.target_slot])) is not None:
            return node.id, name
    return None


def _proxies(written: Any) -> list[Widget]:
    """The entries of ``proxyWidgets``; one that cannot be read keeps its place."""
    return [
        (str(entry[0]), str(entry[1])) if isinstance(entry, list) and len(entry) > 1 else ("", "")
        for entry in (written if isinstance(written, list) else [])
    ]


def _without_prefix(name: str) -> str:
    match = _PREFIX.match(name)
    return name[match.end() :] if match else name
