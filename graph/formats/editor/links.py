"""Where the value of an input comes from, once everything that only the editor knows is out of the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.editor.document import (
    BYPASSED,
    MUTED,
    SUBGRAPH_INPUT,
    EditorDocument,
    EditorLink,
    EditorNode,
)
from run_graph.graph.formats.editor.schema import NO_DEFAULT
from run_graph.graph.formats.editor.scopes import Instance, Scope
from run_graph.graph.formats.editor.values import WidgetValues
from run_graph.graph.formats.editor.virtual_nodes import FORWARDING, GETTERS, SETTERS, VIRTUAL

ANY = "*"
_ANYTHING = frozenset({ANY, ""})


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a node of the workflow."""

    node_id: str
    slot: int


@dataclass(frozen=True, slots=True)
class Given:
    """A value that an instance of a subgraph gives to a widget inside."""

    value: Any


Origin = Output | Given | None
"""What an input gets; None for nothing."""


@dataclass(frozen=True, slots=True)
class _At:
    """An output of a node of the editor. ``type``: what the input wants, if that changed on the way."""

    scope: Scope
    node: EditorNode
    slot: int
    type: str | None = None


_Input = tuple[Scope, EditorNode, int]
_Key = tuple[int, str, int]


class LinkResolver:
    """Follows links through reroutes, names, bypassed nodes and the borders of subgraphs.

    Each input and each output is followed once, so that long chains cost no more than their length.
    """

    def __init__(self, document: EditorDocument, values: WidgetValues) -> None:
        self._document = document
        self._values = values
        self._inputs: dict[_Key, Origin] = {}
        self._ends: dict[_Key, _At | Given | None] = {}
        self._setters: dict[int, dict[tuple[str, str], EditorNode]] = {}
        self._types: dict[int, Mapping[str, int]] = {}
        self.unnamed: dict[str, str] = {}
        """The names that nothing sets, by the id of the node that asks for them."""

    def origin(self, scope: Scope, node: EditorNode, slot: int) -> Origin:
        """What an input of a node gets.

        Raises
        ------
        WorkflowError
            If the links lead in a circle or to a node that does not exist.
        """
        seen: dict[_Key, None] = {}
        found: Origin
        while True:
            key = (id(scope), node.id, slot)
            if key in self._inputs:
                found = self._inputs[key]
                break
            if key in seen:
                raise _circle(scope, node)
            seen[key] = None
            at = self._before(scope, node, slot)
            if not isinstance(at, _At):
                found = at
                break
            step = self._bypass(at, node.inputs[slot].type)
            if not isinstance(step, tuple):
                found = step
                break
            scope, node, slot = step
        self._inputs.update(dict.fromkeys(seen, found))
        return found

    def _bypass(self, at: _At, wanted: str) -> Origin | _Input:
        """The output itself; for a bypassed node, the input that takes its place."""
        if at.node.mode != BYPASSED:
            return Output(at.scope.id_of(at.node), at.slot)
        index = self._forwarded_input(at.node, at.slot, at.type or wanted)
        return None if index is None else (at.scope, at.node, index)

    def _forwarded_input(self, node: EditorNode, slot: int, wanted: str) -> int | None:
        """The input that a bypassed node forwards to an output, for a target that wants this type."""
        count = len(node.inputs)
        if wanted in _ANYTHING:
            return slot if slot < count else 0 if count else None
        produced = node.outputs[slot] if slot < len(node.outputs) else ANY

        def fits(kind: str) -> bool:
            return _fits(kind, wanted) and _fits(kind, produced)

        if slot < count and fits(node.inputs[slot].type):
            return slot
        first = self._first_of_type(node)
        if wanted in first:
            return first[wanted]
        return next((index for kind, index in first.items() if fits(kind)), None)

    def _first_of_type(self, node: EditorNode) -> Mapping[str, int]:
        """For each type of a node's inputs the first one, in order."""
        if id(node) not in self._types:
            last_first = reversed(list(enumerate(node.inputs)))
            first = {slot.type: index for index, slot in last_first}
            self._types[id(node)] = dict(sorted(first.items(), key=lambda item: item[1]))
        return self._types[id(node)]

    def _before(self, scope: Scope, node: EditorNode, slot: int) -> _At | Given | None:
        """The output that an input is linked to, behind everything that only forwards."""
        start = self._linked(scope, node, slot)
        return self._end(start) if isinstance(start, _At) else start

    def _end(self, start: _At) -> _At | Given | None:
        """The output of a node that computes, or is bypassed, at the end of a chain of forwarding ones."""
        seen: dict[_Key, str | None] = {}
        at: _At | Given | None = start
        while isinstance(at, _At):
            key = (id(at.scope), at.node.id, at.slot)
            if key in seen:
                raise _circle(at.scope, at.node)
            seen[key] = at.type
            if key in self._ends:
                at = self._ends[key]
                break
            following = self._forward(at)
            if following is at:
                at = _At(at.scope, at.node, at.slot)
                break
            at = following
        for key, wanted in reversed(seen.items()):
            self._ends.setdefault(key, at)
            if isinstance(at, _At) and at.type is None:
                at = replace(at, type=wanted)
        return at

    def _forward(self, at: _At) -> _At | Given | None:
        """The output that an output stands for, one step on; the same object if it stands for itself."""
        scope, node, slot = at.scope, at.node, at.slot
        if node.mode == MUTED:
            return None
        if node.mode == BYPASSED:
            return at
        if node.type in self._document.subgraphs:
            return self._inside(scope.children[node.id], slot)
        if node.type in FORWARDING:
            return self._linked(scope, node, slot)
        if node.type in GETTERS:
            return self._set_by_name(scope, node, slot)
        return None if node.type in VIRTUAL else at

    def _inside(self, scope: Scope, slot: int) -> _At | Given | None:
        """What a subgraph's output is linked to inside."""
        ports = scope.graph.outputs
        links = (scope.graph.links.get(link_id) for link_id in ports[slot].links) if slot < len(ports) else ()
        link = next((link for link in links if link is not None), None)
        return None if link is None else self._start(scope, link)

    def _linked(self, scope: Scope, node: EditorNode, slot: int) -> _At | Given | None:
        link = scope.graph.link_into(node, slot)
        return None if link is None else self._start(scope, link)

    def _start(self, scope: Scope, link: EditorLink) -> _At | Given | None:
        """The output that a link begins at, which may be outside the subgraph."""
        if link.origin == SUBGRAPH_INPUT and scope.instance is not None:
            return self._outside(scope, scope.instance, link.origin_slot)
        node = scope.graph.nodes.get(link.origin)
        if node is None:
            message = f"it is linked to node {link.origin!r}, which does not exist"
            fix = "Open the file in ComfyUI, link it again and save."
            raise WorkflowError([Fault("bad_link", message, fix, f"{scope.path}{link.target}")])
        return _At(scope, node, link.origin_slot)

    def _outside(self, scope: Scope, instance: Instance, port: int) -> _At | Given | None:
        """What the instance of a scope gets at a port."""
        if port >= len(scope.graph.inputs):
            return None
        outer, node = instance
        slot = self._values.promotion(node).slots[port]
        if slot is not None and outer.graph.link_into(node, slot) is not None:
            at = self._linked(outer, node, slot)
            if isinstance(at, _At) and at.type is None:
                return replace(at, type=node.inputs[slot].type)
            return at
        value = self._values.given(scope, instance, port)
        return None if value is NO_DEFAULT else Given(value)

    def _set_by_name(self, scope: Scope, getter: EditorNode, slot: int) -> _At | Given | None:
        """What the setter of a getter's name was given: the one in its own graph, else further outside."""
        wanted = (GETTERS[getter.type], _name(getter))
        place: Scope | None = scope
        while place is not None:
            if setter := self._setters_of(place).get(wanted):
                return self._linked(place, setter, slot)
            place = place.instance.scope if place.instance else None
        self.unnamed[scope.id_of(getter)] = wanted[1]
        return None

    def _setters_of(self, scope: Scope) -> dict[tuple[str, str], EditorNode]:
        if id(scope.graph) not in self._setters:
            setters: dict[tuple[str, str], EditorNode] = {}
            for node in scope.graph.nodes.values():
                if node.type in SETTERS:
                    setters.setdefault((node.type, _name(node)), node)
            self._setters[id(scope.graph)] = setters
        return self._setters[id(scope.graph)]


def _name(node: EditorNode) -> str:
    """The name that a setter or getter has as its first value."""
    values = node.values
    first = values[0] if isinstance(values, list) and values else ""
    return first if isinstance(first, str) else ""


def _fits(one: str, other: str) -> bool:
    """Whether the editor lets two types be linked."""
    if one == other or one in _ANYTHING or other in _ANYTHING:
        return True
    if "," not in one and "," not in other:
        return one.lower() == other.lower()
    members, others = one.lower().split(","), other.lower().split(",")
    return not {*members}.isdisjoint(others) or not _ANYTHING.isdisjoint([*members, *others])


def _circle(scope: Scope, node: EditorNode) -> WorkflowError:
    called = f" ({node.title!r})" if node.title else ""
    message = f"the links through this node{called} lead in a circle"
    fault = Fault("link_cycle", message, "Remove one of them.", scope.id_of(node), node.type)
    return WorkflowError([fault])
