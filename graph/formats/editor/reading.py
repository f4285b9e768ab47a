"""Reading an editor file: from JSON values to :mod:`graph.formats.editor.document`.

Tolerant where the editor is (missing keys, links as lists or as objects, ids as numbers or as text); names
the node or the link where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from run_graph.graph.faults import Fault, WorkflowError, shorten
from run_graph.graph.formats.editor.document import (
    ALWAYS,
    SUBGRAPH_INPUT,
    SUBGRAPH_OUTPUT,
    EditorDocument,
    EditorGraph,
    EditorLink,
    EditorNode,
    InputSlot,
    Port,
)

# Ids of subgraph members are joined to paths, so their length multiplies.
MAXIMUM_ID = 200
# A bypassed node looks for an input once for each node that reads it.
MAXIMUM_INPUTS = 1000


def is_editor_file(document: Any) -> bool:
    """Whether a parsed JSON document is in the editor's format rather than the API format."""
    return isinstance(document, Mapping) and isinstance(document.get("nodes"), list)


def read_document(document: Mapping[str, Any]) -> EditorDocument:
    """Read a parsed editor file.

    Raises
    ------
    WorkflowError
        If a node or a link cannot be understood; names it.
    """
    definitions = _mapping(document.get("definitions"))
    subgraphs: dict[str, EditorGraph] = {}
    for index, definition in enumerate(_list(definitions.get("subgraphs"))):
        if not isinstance(definition, Mapping) or not isinstance(definition.get("id"), str):
            _fail("bad_subgraph", f"entry {index} of definitions.subgraphs has no id", definition)
        subgraphs[definition["id"]] = _graph(definition)
    groups = _mapping(_mapping(document.get("extra")).get("groupNodes"))
    return EditorDocument(_graph(document), subgraphs, groups, _last_id(document))


def _graph(document: Mapping[str, Any]) -> EditorGraph:
    name = document.get("name")
    nodes = read_nodes(_list(document.get("nodes")), _last_id(document))
    links = _links(document.get("links"))
    return EditorGraph(
        name if isinstance(name, str) else "",
        nodes,
        links,
        _inputs_of(document.get("inputs"), _links_by_port(links, SUBGRAPH_INPUT)),
        _outputs_of(document.get("outputs"), _links_by_port(links, SUBGRAPH_OUTPUT)),
        _unclaimed(nodes.values(), links),
    )


def _last_id(document: Mapping[str, Any]) -> int:
    last = _mapping(document.get("state")).get("lastNodeId", document.get("last_node_id"))
    return last if isinstance(last, int) and 0 <= last < 2**53 else 0


def _unclaimed(nodes: Iterable[EditorNode], links: Mapping[str, EditorLink]) -> dict[tuple[str, int], str]:
    claimed = {slot.link for node in nodes for slot in node.inputs}
    return {
        (link.target, link.target_slot): link_id for link_id, link in links.items() if link_id not in claimed
    }


def read_nodes(entries: Sequence[Any], last: int = 0) -> dict[str, EditorNode]:
    """The nodes of a graph by id, in the order in which the editor would run them.

    If two nodes have one id, the second gets a new one, as in the editor; links mean the first. ``last`` is
    the highest id that the editor has given.

    Raises
    ------
    WorkflowError
        If an entry is no node.
    """
    nodes: dict[str, EditorNode] = {}
    repeated: list[EditorNode] = []
    for index, entry in sorted(enumerate(entries), key=_order):
        node = read_node(entry, index)
        if node.id in nodes:
            repeated.append(node)
        else:
            nodes[node.id] = node
    numbers = (int(node_id) for node_id in nodes if node_id.isascii() and node_id.isdigit())
    last = max(last, *numbers, 0) if repeated else last
    for number, node in enumerate(repeated, last + 1):
        nodes[str(number)] = replace(node, id=str(number))
    return nodes


def _order(item: tuple[int, Any]) -> tuple[float, int]:
    index, entry = item
    order = entry.get("order") if isinstance(entry, Mapping) else None
    return (order if isinstance(order, int) else float("inf"), index)


def read_node(entry: Any, index: int) -> EditorNode:
    """One entry of a list of nodes. Raises WorkflowError if it has no id or no type."""
    if not isinstance(entry, Mapping):
        _fail("not_a_node", f"entry {index} of the nodes is not an object", entry)
    node_id, kind = _id(entry.get("id")), entry.get("type")
    if node_id is None:
        _fail("not_a_node", f"entry {index} of the nodes has no id", entry.get("id"))
    if not isinstance(kind, str):
        _fail("not_a_node", "the node has no type", kind, node_id)
    if len(_list(entry.get("inputs"))) > MAXIMUM_INPUTS:
        _fail("too_many_inputs", f"the node has more than {MAXIMUM_INPUTS:,} inputs", None, node_id)
    values, mode, title = entry.get("widgets_values"), entry.get("mode"), entry.get("title")
    named = entry.get("widgets_values_named")
    return EditorNode(
        node_id,
        kind,
        title if isinstance(title, str) and title else None,
        mode if isinstance(mode, int) else ALWAYS,
        tuple(_input(slot) for slot in _list(entry.get("inputs"))),
        tuple(_type(_mapping(slot).get("type")) for slot in _list(entry.get("outputs"))),
        values if isinstance(values, (list, Mapping)) else None,
        named if isinstance(named, Mapping) else None,
        _mapping(entry.get("properties")),
    )


def _input(slot: Any) -> InputSlot:
    slot = _mapping(slot)
    widget = _mapping(slot.get("widget")).get("name")
    return InputSlot(
        _text(slot.get("name")),
        _type(slot.get("type")),
        _id(slot.get("link")),
        widget if isinstance(widget, str) else None,
    )


def _links(entries: Any) -> dict[str, EditorLink]:
    links: dict[str, EditorLink] = {}
    values = entries.values() if isinstance(entries, Mapping) else _list(entries)
    for index, entry in enumerate(values):
        if entry is None:  # the editor leaves gaps where links were removed
            continue
        link_id, link = _link(entry, index)
        links[link_id] = link
    return links


_LINK_KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot")


def _link(entry: Any, index: int) -> tuple[str, EditorLink]:
    parts = [entry.get(key) for key in _LINK_KEYS] if isinstance(entry, Mapping) else entry
    if not isinstance(parts, list) or len(parts) < len(_LINK_KEYS):
        _fail("bad_link", f"entry {index} of the links has no origin and target", entry)
    link_id, origin, target = _id(parts[0]), _id(parts[1]), _id(parts[3])
    origin_slot, target_slot = _slot(parts[2]), _slot(parts[4])
    if link_id is None or origin is None or target is None or origin_slot is None or target_slot is None:
        _fail("bad_link", f"entry {index} of the links has no origin and target", entry)
    return link_id, EditorLink(origin, origin_slot, target, target_slot)


def _inputs_of(entries: Any, links: Mapping[int, Sequence[str]]) -> tuple[Port, ...]:
    """The inputs of a subgraph; the order of the links is the one that they are written in there."""
    ports = []
    for index, entry in enumerate(map(_mapping, _list(entries))):
        written = entry.get("linkIds")
        ids: Iterable[str | None] = map(_id, written) if isinstance(written, list) else links.get(index, ())
        ports.append(_port(entry, [each for each in ids if each is not None]))
    return tuple(ports)


def _outputs_of(entries: Any, links: Mapping[int, Sequence[str]]) -> tuple[Port, ...]:
    """The outputs of a subgraph; the order of the links is that of all links."""
    return tuple(
        _port(entry, () if entry.get("linkIds") == [] else links.get(index, ()))
        for index, entry in enumerate(map(_mapping, _list(entries)))
    )


def _port(entry: Mapping[str, Any], links: Sequence[str]) -> Port:
    return Port(_text(entry.get("name")), _type(entry.get("type")), tuple(links))


def _links_by_port(links: Mapping[str, EditorLink], boundary: str) -> dict[int, list[str]]:
    by_port: dict[int, list[str]] = {}
    for link_id, link in links.items():
        if boundary == SUBGRAPH_INPUT and link.origin == boundary:
            by_port.setdefault(link.origin_slot, []).append(link_id)
        if boundary == SUBGRAPH_OUTPUT and link.target == boundary:
            by_port.setdefault(link.target_slot, []).append(link_id)
    return by_port


def _id(value: Any) -> str | None:
    """An id as text; None if it is none. The editor writes numbers and texts for the same id."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    text = str(value)
    if len(text) > MAXIMUM_ID:
        _fail("bad_id", f"an id has more than {MAXIMUM_ID} characters", text)
    return text


def _slot(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 10**9 and value == int(value) else None


def _type(value: Any) -> str:
    """A socket type. Very old files have the list of a combo's choices instead of its name."""
    if isinstance(value, str):
        return value
    return "COMBO" if isinstance(value, list) else "*"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _fail(code: str, message: str, found: Any, node_id: str | None = None) -> NoReturn:
    fix = "Open the file in ComfyUI and save it again."
    shown = None if found is None else shorten(found, 60)
    raise WorkflowError([Fault(code, message, fix, node_id, found=shown)])
