"""Assign each node to a layer, a column of the drawing, so that links lead to the right if possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import networkx as nx


def layer_numbers(ids: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The layer of each node, counted from 0: one more than the highest layer among its sources.

    A node without sources goes directly before its first reader. Links that close a cycle are ignored.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(ids)
    graph.add_edges_from(edges)
    graph.remove_edges_from(back_edges(graph))
    layers = {
        node_id: number
        for number, generation in enumerate(nx.topological_generations(graph))
        for node_id in generation
    }
    for node_id in list(layers):
        if graph.in_degree(node_id) == 0 and graph.out_degree(node_id) > 0:
            layers[node_id] = min(layers[reader] for reader in graph.successors(node_id)) - 1
    return layers


def back_edges(graph: nx.DiGraph[str]) -> set[tuple[str, str]]:
    """The back edges of a depth-first walk from the sources; without them the graph has no cycle."""
    found: set[tuple[str, str]] = set()
    on_path: dict[str, bool] = {}
    for start in sorted(graph, key=lambda node_id: bool(graph.in_degree(node_id) > 0)):
        if start not in on_path:
            found.update(_walk(graph, start, on_path))
    return found


def _walk(graph: nx.DiGraph[str], start: str, on_path: dict[str, bool]) -> Iterator[tuple[str, str]]:
    """The back edges found by an iterative depth-first walk; ``on_path`` is False for finished nodes."""
    on_path[start] = True
    path = [(start, iter(graph.successors(start)))]
    while path:
        node_id, readers = path[-1]
        for reader in readers:
            if reader not in on_path:
                on_path[reader] = True
                path.append((reader, iter(graph.successors(reader))))
                break
            if on_path[reader]:
                yield node_id, reader
        else:
            on_path[node_id] = False
            path.pop()
