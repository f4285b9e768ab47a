"""From the editor's format to the API format: the nodes that run, each with its values and its links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from run_graph.graph.faults import listed, shorten
from run_graph.graph.formats.editor.document import OWN_INPUTS, EditorDocument, EditorNode
from run_graph.graph.formats.editor.group_nodes import with_group_nodes
from run_graph.graph.formats.editor.links import Given, LinkResolver, Output
from run_graph.graph.formats.editor.node_ids import with_unique_ids
from run_graph.graph.formats.editor.reading import read_document
from run_graph.graph.formats.editor.schema import NO_DEFAULT, EditorSchemas
from run_graph.graph.formats.editor.scopes import Scope, expanded
from run_graph.graph.formats.editor.texts import without_choices
from run_graph.graph.formats.editor.values import WidgetValues
from run_graph.graph.formats.editor.virtual_nodes import VIRTUAL
from run_graph.graph.formats.editor.widgets import UNKNOWN, missing_widgets
from run_graph.graph.workflow import PACK_KEYS

_PREFIX = "filename_prefix"


@dataclass(frozen=True)
class Converted:
    """A file in API format.

    Attributes
    ----------
    nodes : dict
        The API format's object.
    filled : tuple of str
        Values that the file lacks and that are the defaults of their classes, such as ``5.crop = center``.
    notes : tuple of str
        What else is not as the editor would do it.
    """

    nodes: dict[str, Any]
    filled: tuple[str, ...]
    notes: tuple[str, ...]


def convert(document: Mapping[str, Any], schemas: EditorSchemas) -> Converted:
    """Convert a parsed editor file.

    Members of subgraphs are called ``instance:member``. Notes, reroutes, primitives and other nodes that
    only the editor knows are left out, and so are muted and bypassed ones. A class that the schemas do not
    have keeps its name; its values are called by the names in the file, else ``UNKNOWN``, ``UNKNOWN_1``, ...

    Raises
    ------
    WorkflowError
        If a node or link cannot be understood, links lead in a circle, or a subgraph contains itself.
    """
    read = read_document(document)
    root, subgraphs = with_unique_ids(read.root, read.subgraphs, read.last_id)
    read = with_group_nodes(replace(read, root=root, subgraphs=subgraphs), schemas)
    members = expanded(read)
    conversion = _Conversion(read, schemas)
    nodes = {
        scope.id_of(node): conversion.api_node(scope, node)
        for scope, node in members
        if node.is_expanded and node.type not in VIRTUAL
    }
    return Converted(nodes, tuple(conversion.filled), tuple(conversion.notes()))


class _Conversion:
    """The state of one conversion: what is known about the file, and what the user should know."""

    def __init__(self, document: EditorDocument, schemas: EditorSchemas) -> None:
        self._schemas = schemas
        self._values = WidgetValues(document, schemas)
        self._links = LinkResolver(document, self._values)
        self.filled: list[str] = []
        self._chosen: list[str] = []
        self._unknown: dict[str, None] = {}

    def api_node(self, scope: Scope, node: EditorNode) -> dict[str, Any]:
        """A node in API format."""
        given = self._values.given_inside(scope, node)
        own = self._texts(scope, node, self._values.of(scope.graph, node))
        inputs: dict[str, Any] = {name: _wrapped(value) for name, value in {**own, **given}.items()}
        inputs.update(self._without_widget(node, own))
        for index, slot in enumerate(node.inputs):
            if slot.name in given:
                continue
            origin = self._links.origin(scope, node, index)
            if isinstance(origin, Output):
                inputs[slot.name] = [origin.node_id, origin.slot]
            elif isinstance(origin, Given):
                inputs[slot.name] = _wrapped(origin.value)
        self._note_filled(scope, node, inputs)
        if UNKNOWN in inputs:
            self._unknown[node.type] = None
        written: dict[str, Any] = {"class_type": node.type, "inputs": inputs}
        if meta := _meta(node):
            written["_meta"] = meta
        return written

    def notes(self) -> Iterator[str]:
        """What is not as the editor would do it, or what it would warn of."""
        if self._chosen:
            yield (
                f"of choices such as {{a|b}} the first was taken, where ComfyUI picks one at random: "
                f"{listed(self._chosen)}"
            )
        if self._unknown:
            yield f"values without names, because these classes are not known: {listed(self._unknown)}"
        if names := self._links.unnamed:
            yield f"nothing sets the names that these nodes get: {listed(names)}"

    def _texts(self, scope: Scope, node: EditorNode, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values, with texts as the editor hands them over."""
        known = self._schemas.inputs(node.type) or {}
        changed: dict[str, Any] = {}
        for name, value in values.items():
            if not isinstance(value, str):
                continue
            if name == _PREFIX:
                changed[name] = self._values.text(value)
            elif name in known and known[name].is_dynamic:
                changed[name], chose = without_choices(value)
                if chose:
                    self._chosen.append(f"{scope.id_of(node)}.{name}")
        return {**values, **changed}

    def _without_widget(self, node: EditorNode, own: Mapping[str, Any]) -> dict[str, Any]:
        """Literals beside ComfyUI's widgets: kept by our export, or of the widgets that our server adds."""
        kept = node.properties.get(OWN_INPUTS)
        found = kept if isinstance(kept, Mapping) else {}
        named = node.values if isinstance(node.values, Mapping) else node.named or {}
        shown = {name: named[name] for name in self._schemas.added(node.type) if name in named}
        return {str(name): value for name, value in {**found, **shown}.items() if name not in own}

    def _note_filled(self, scope: Scope, node: EditorNode, inputs: Mapping[str, Any]) -> None:
        known = self._schemas.inputs(node.type)
        if known is None:
            return
        for name in missing_widgets(node, known):
            value = inputs.get(name, NO_DEFAULT)
            if value is not NO_DEFAULT and not isinstance(value, list):
                self.filled.append(f"{scope.id_of(node)}.{name} = {shorten(value, 40)}")


def _meta(node: EditorNode) -> dict[str, str]:
    """What API files say beside the inputs: the title, and the package that the class comes from."""
    meta = {"title": node.title} if node.title is not None else {}
    packs = {name: value for name in PACK_KEYS if isinstance(value := node.properties.get(name), str)}
    return {**meta, **packs}


def _wrapped(value: Any) -> Any:
    """A literal as the API format has it: a bare list would be a link."""
    return {"__value__": value} if isinstance(value, list) else value
