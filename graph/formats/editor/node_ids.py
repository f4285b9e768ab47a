"""Ids of nodes, made unique over a whole file as the editor does when it loads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from run_graph.graph.formats.editor.document import EditorGraph, EditorNode


def with_unique_ids(
    root: EditorGraph, subgraphs: Mapping[str, EditorGraph], last: int
) -> tuple[EditorGraph, dict[str, EditorGraph]]:
    """The graphs with new ids for members of subgraphs whose id is taken: by the main graph or one before.

    Parameters
    ----------
    last : int
        The highest id that the editor has given. New ones follow it, and all others in the file so far.

    Returns
    -------
    root, subgraphs
    """
    used = set(root.nodes)
    last = max([last, *(int(node_id) for node_id in root.nodes if _is_number(node_id))])
    changed: dict[str, dict[str, str]] = {}
    for key, graph in subgraphs.items():
        new: dict[str, str] = {}
        for node_id in graph.nodes:
            if node_id in used:
                last += 1
                new[node_id] = str(last)
            elif _is_number(node_id):
                last = max(last, int(node_id))
            used.add(new.get(node_id, node_id))
        if new:
            changed[key] = new
    if not changed:
        return root, dict(subgraphs)
    graphs = {key: _renumbered(graph, changed.get(key, {})) for key, graph in subgraphs.items()}
    return _with_proxies(root, changed), {key: _with_proxies(each, changed) for key, each in graphs.items()}


def _renumbered(graph: EditorGraph, new: Mapping[str, str]) -> EditorGraph:
    nodes = (replace(node, id=new.get(node.id, node.id)) for node in graph.nodes.values())
    links = {
        key: replace(link, origin=new.get(link.origin, link.origin), target=new.get(link.target, link.target))
        for key, link in graph.links.items()
    }
    unclaimed = {(new.get(node, node), slot): link for (node, slot), link in graph.unclaimed.items()}
    return replace(graph, nodes={node.id: node for node in nodes}, links=links, unclaimed=unclaimed)


def _with_proxies(graph: EditorGraph, changed: Mapping[str, Mapping[str, str]]) -> EditorGraph:
    """The graph with the new ids in what its instances say of members."""
    nodes = {key: _with_new_proxies(node, changed.get(node.type, {})) for key, node in graph.nodes.items()}
    return replace(graph, nodes=nodes)


def _with_new_proxies(node: EditorNode, new: Mapping[str, str]) -> EditorNode:
    proxies = node.properties.get("proxyWidgets")
    if not new or not isinstance(proxies, list):
        return node
    entries = [
        [new.get(str(entry[0]), entry[0]), *entry[1:]] if isinstance(entry, list) and entry else entry
        for entry in proxies
    ]
    return replace(node, properties={**node.properties, "proxyWidgets": entries})


def _is_number(node_id: str) -> bool:
    return node_id.isascii() and node_id.isdigit()
