"""Assign each node to a layer, a column of the drawing, so that links lead to the right if possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

_Readers = Mapping[str, Sequence[str]]


def layer_numbers(ids: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The layer of each node, counted from 0: one more than the highest layer among its sources.

    A node without sources goes directly before its first reader. Links that close a cycle are ignored. No
    library computes it: every picture that is saved needs it, and loading one would take longer.
    """
    readers: dict[str, list[str]] = {node_id: [] for node_id in ids}
    for source, target in dict.fromkeys(edges):
        readers.setdefault(source, []).append(target)
        readers.setdefault(target, [])
    closing = set(_back_edges(readers))
    if closing:
        readers = {
            source: [target for target in targets if (source, target) not in closing]
            for source, targets in readers.items()
        }
    sources = _source_counts(readers)
    layers = _highest(readers, sources)
    for node_id, count in sources.items():
        if count == 0 and readers[node_id]:
            layers[node_id] = min(layers[reader] for reader in readers[node_id]) - 1
    return layers


def _source_counts(readers: _Readers) -> dict[str, int]:
    counts = dict.fromkeys(readers, 0)
    for targets in readers.values():
        for target in targets:
            counts[target] += 1
    return counts


def _highest(readers: _Readers, sources: Mapping[str, int]) -> dict[str, int]:
    """The layers of a graph without cycles, walked in topological order."""
    waiting = dict(sources)
    layers = {node_id: 0 for node_id, count in sources.items() if count == 0}
    for node_id in (order := list(layers)):  # grows while it is walked
        for reader in readers[node_id]:
            layers[reader] = max(layers.get(reader, 0), layers[node_id] + 1)
            waiting[reader] -= 1
            if waiting[reader] == 0:
                order.append(reader)
    return layers


def _back_edges(readers: _Readers) -> Iterator[tuple[str, str]]:
    """The back edges of a depth-first walk from the sources; without them the graph has no cycle."""
    counts = _source_counts(readers)
    on_path: dict[str, bool] = {}
    for start in sorted(readers, key=lambda node_id: counts[node_id] > 0):
        if start not in on_path:
            yield from _walk(readers, start, on_path)


def _walk(readers: _Readers, start: str, on_path: dict[str, bool]) -> Iterator[tuple[str, str]]:
    """The back edges found by an iterative depth-first walk; ``on_path`` is False for finished nodes."""
    on_path[start] = True
    path = [(start, iter(readers[start]))]
    while path:
        node_id, following = path[-1]
        for reader in following:
            if reader not in on_path:
                on_path[reader] = True
                path.append((reader, iter(readers[reader])))
                break
            if on_path[reader]:
                yield node_id, reader
        else:
            on_path[node_id] = False
            path.pop()
