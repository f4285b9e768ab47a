"""Route links through the columns between their ends, in lanes that are kept free of boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from run_graph.graph.draw.diagram import Connection

# With more lanes than this the picture is unreadable anyway: long links then run behind the boxes.
MAXIMUM_LANES = 20_000


class Lane(NamedTuple):
    """Space in a column for the links of one output that pass through it."""

    source: str
    output: int
    layer: int


Vertex = str | Lane


@dataclass(frozen=True, slots=True)
class Strand:
    """The part of a link between two neighbouring columns.

    ``output`` and ``input`` are positions among the sockets of a box; they are 0 for a lane.
    """

    source: Vertex
    output: int
    target: Vertex
    input: int
    socket: str


@dataclass(frozen=True, slots=True)
class Routes:
    """All links, cut at the columns.

    Attributes
    ----------
    strands : list of list of Strand
        Entry i has those from column i to column i + 1, each once even if several links share it.
    lanes : dict of Lane to socket type
    direct : list of Connection
        Links that are drawn as a single curve: they lead to the left, or there would be too many lanes.
    """

    strands: list[list[Strand]]
    lanes: dict[Lane, str]
    direct: list[Connection]


def route(connections: Iterable[Connection], layers: Mapping[str, int]) -> Routes:
    """Cut the connections into strands and lanes."""
    connections = list(connections)
    forward = [link for link in connections if layers[link.target] > layers[link.source]]
    direct = [link for link in connections if layers[link.target] <= layers[link.source]]
    if _lane_count(forward, layers) > MAXIMUM_LANES:
        direct += [link for link in forward if layers[link.target] > layers[link.source] + 1]
        forward = [link for link in forward if layers[link.target] == layers[link.source] + 1]
    return _cut(forward, layers, direct)


def _lane_count(forward: list[Connection], layers: Mapping[str, int]) -> int:
    reach: dict[tuple[str, int], int] = {}
    for link in forward:
        key = link.source, link.output
        reach[key] = max(reach.get(key, 0), layers[link.target] - layers[link.source] - 1)
    return sum(reach.values())


def _cut(forward: list[Connection], layers: Mapping[str, int], direct: list[Connection]) -> Routes:
    gaps: list[dict[Strand, None]] = [{} for _ in range(max(layers.values(), default=0))]
    lanes: dict[Lane, str] = {}
    for link in forward:
        first, last = layers[link.source], layers[link.target]
        target: Vertex = link.target
        entry = link.input
        for layer in range(last - 1, first, -1):  # backwards: stop where another link made the lane
            lane = Lane(link.source, link.output, layer)
            gaps[layer][Strand(lane, 0, target, entry, link.socket)] = None
            target, entry = lane, 0
            if lane in lanes:
                break
            lanes[lane] = link.socket
        else:
            gaps[first][Strand(link.source, link.output, target, entry, link.socket)] = None
    return Routes([list(gap) for gap in gaps], lanes, direct)
