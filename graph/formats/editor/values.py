"""The value of every widget of a file: as it is saved, copied from a primitive, or given by an instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from run_graph.graph.formats.editor.document import EditorDocument, EditorGraph, EditorNode, InputSlot
from run_graph.graph.formats.editor.promotion import Promotion, promotion_of
from run_graph.graph.formats.editor.schema import NO_DEFAULT, EditorSchemas
from run_graph.graph.formats.editor.scopes import MAXIMUM_NESTING, Instance, Scope
from run_graph.graph.formats.editor.texts import with_widget_values
from run_graph.graph.formats.editor.virtual_nodes import PRIMITIVE
from run_graph.graph.formats.editor.widgets import widget_values

# A switch of PrimitiveNode: whether %node.widget% in its value is replaced.
_REPLACES = "Run widget replace on values"


class WidgetValues:
    """Values of widgets; each node of each graph is read once, however many instances the graph has."""

    def __init__(self, document: EditorDocument, schemas: EditorSchemas) -> None:
        self._document = document
        self._schemas = schemas
        self._values: dict[int, dict[str, Any]] = {}
        self._promotions: dict[int, Promotion] = {}
        self._targets: dict[int, dict[str, list[tuple[str, str]]]] = {}
        self._primitives: dict[int, dict[str, dict[str, Any]]] = {}
        self._open: dict[str, None] = {}  # subgraphs whose instances are being read

    def of(self, graph: EditorGraph, node: EditorNode) -> Mapping[str, Any]:
        """The values of a node's widgets by name, as every instance of the graph sees them."""
        if id(node) not in self._values:
            self._values[id(node)] = {**self._saved(node), **self._from_primitives(graph).get(node.id, {})}
        return self._values[id(node)]

    def widget_of(self, node: EditorNode, slot: InputSlot) -> str | None:
        """The name of the widget behind an input; None if it is only a socket."""
        if node.type in self._document.subgraphs:
            return slot.name if slot.name in self._shown(node) else None
        if slot.widget is not None:
            return slot.widget
        known = (self._schemas.inputs(node.type) or {}).get(slot.name)
        return slot.name if known is not None and known.is_widget else None

    def value_of(self, graph: EditorGraph, node: EditorNode, name: str) -> Any:
        """The value of a widget of a node or of an instance; NO_DEFAULT if it has none."""
        if node.type in self._document.subgraphs:
            return self._shown(node).get(name, NO_DEFAULT)
        return self.of(graph, node).get(name, NO_DEFAULT)

    def copies_of(self, graph: EditorGraph, primitive: EditorNode) -> Sequence[tuple[str, str]]:
        """The widgets that a primitive's value is copied into: ids of nodes and names."""
        return self._copies(graph).get(primitive.id, ())

    def promotion(self, instance: EditorNode) -> Promotion:
        """What an instance of a subgraph says about the widgets inside."""
        if id(instance) not in self._promotions:
            graph = self._document.subgraphs[instance.type]
            self._promotions[id(instance)] = promotion_of(instance, graph, self)
        return self._promotions[id(instance)]

    def given(self, scope: Scope, instance: Instance, port: int) -> Any:
        """The value that a scope's instance has for a port without a link; NO_DEFAULT if it has none."""
        value = self._given_inside(instance.scope, instance.node.id, scope.graph.inputs[port].name)
        return self.promotion(instance.node).ports.get(port, NO_DEFAULT) if value is NO_DEFAULT else value

    def given_inside(self, scope: Scope, node: EditorNode) -> dict[str, Any]:
        """The values that a scope's instance gives to widgets of a member that no port leads to."""
        if scope.instance is None:
            return {}
        shown = self.promotion(scope.instance.node).inside.get(node.id, {})
        values = {name: self._given_inside(scope, node.id, name) for name in shown}
        return {name: value for name, value in values.items() if value is not NO_DEFAULT}

    def _given_inside(self, scope: Scope, node_id: str, name: str) -> Any:
        """The value for one such widget: that of the outermost instance that shows it and has one."""
        value: Any = NO_DEFAULT
        while scope.instance is not None:
            scope, node = scope.instance
            shown = self.promotion(node).inside.get(node_id, {})
            if name not in shown:
                break
            value = shown[name] if shown[name] is not NO_DEFAULT else value
            node_id = node.id
        return value

    def _shown(self, instance: EditorNode) -> dict[str, Any]:
        """The widgets that an instance shows for ports, with their values."""
        if instance.type in self._open or len(self._open) > MAXIMUM_NESTING:
            return {}  # it is muted, else it would have been refused
        self._open[instance.type] = None
        try:
            ports = self.promotion(instance).ports
        finally:
            del self._open[instance.type]
        inputs = self._document.subgraphs[instance.type].inputs
        return {inputs[index].name: value for index, value in ports.items()}

    def text(self, value: str) -> str:
        """A text with each ``%node.widget%`` replaced by the value of that widget."""
        return with_widget_values(value, self._named) if "%" in value else value

    def _saved(self, node: EditorNode) -> dict[str, Any]:
        return widget_values(node, self._schemas.inputs(node.type))

    def _from_primitives(self, graph: EditorGraph) -> dict[str, dict[str, Any]]:
        """What primitives copy into the widgets of a graph: by the id of the node and the widget's name."""
        if id(graph) not in self._primitives:
            # Known from now on: the value of a primitive may ask for that of another widget.
            copied: dict[str, dict[str, Any]] = {}
            self._primitives[id(graph)] = copied
            for primitive_id, targets in self._copies(graph).items():
                held = self._held(graph, graph.nodes[primitive_id], *targets[0])
                if held is NO_DEFAULT:
                    continue
                for node_id, name in targets:
                    known = (self._schemas.inputs(graph.nodes[node_id].type) or {}).get(name)
                    copied.setdefault(node_id, {})[name] = known.stepped(held) if known else held
        return self._primitives[id(graph)]

    def _copies(self, graph: EditorGraph) -> dict[str, list[tuple[str, str]]]:
        """For each primitive the widgets that are linked to it: ids of nodes and names."""
        if id(graph) not in self._targets:
            targets: dict[str, list[tuple[str, str]]] = {}
            for node in graph.nodes.values():
                for index, slot in enumerate(node.inputs):
                    link = graph.link_into(node, index)
                    origin = graph.nodes.get(link.origin) if link else None
                    if origin is None or origin.type != PRIMITIVE:
                        continue
                    if (name := self.widget_of(node, slot)) is not None:
                        targets.setdefault(origin.id, []).append((node.id, name))
            self._targets[id(graph)] = targets
        return self._targets[id(graph)]

    def _held(self, graph: EditorGraph, primitive: EditorNode, node_id: str, name: str) -> Any:
        """The value of a primitive; if it is not saved, that of the first widget it is linked to."""
        if isinstance(primitive.values, list) and primitive.values:
            value = primitive.values[0]
            replaces = isinstance(value, str) and primitive.properties.get(_REPLACES)
            return self.text(value) if replaces else value
        node = graph.nodes[node_id]
        return (
            NO_DEFAULT if node.type in self._document.subgraphs else self._saved(node).get(name, NO_DEFAULT)
        )

    def _named(self, node_name: str, widget: str) -> object | None:
        found = self._by_name.get(node_name)
        if found is None:
            return None
        graph, node = found
        if node.type == PRIMITIVE:
            values = node.values if isinstance(node.values, list) else []
            return values[0] if values and widget == "value" else None
        own = self._saved(node)  # not kept: primitives may not have been read yet
        return {**own, **self._from_primitives(graph).get(node.id, {})}.get(widget)

    @cached_property
    def _by_name(self) -> dict[str, tuple[EditorGraph, EditorNode]]:
        """Nodes by the name that texts call them by, which goes before their title."""
        graphs = [self._document.root, *self._document.subgraphs.values()]
        named: dict[str, tuple[EditorGraph, EditorNode]] = {}
        titled: dict[str, tuple[EditorGraph, EditorNode]] = {}
        for graph in graphs:
            for node in graph.nodes.values():
                name = node.properties.get("Node name for S&R", node.type)
                if isinstance(name, str):
                    named.setdefault(name, (graph, node))
                titled.setdefault(node.title or node.type, (graph, node))
        return {**titled, **named}
