"""The order of boxes within a column, by barycentre sweeps; the order with the fewest crossings is kept.

The method is that of Sugiyama, Tagawa and Toda (1981). Sweeps go from left to right and from right to left in
turn. Each sorts the boxes of a column by the mean position of their links' ends in the column before it (in
the direction of the sweep).
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from run_graph.graph.draw.routing import Strand, Vertex

SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Outline:
    """The height of a box or lane, and the distances of its sockets from its top, in pixels."""

    height: float
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]


Columns = list[list[Vertex]]


def ordered(columns: Columns, strands: Sequence[list[Strand]], shapes: Mapping[Vertex, Outline]) -> Columns:
    """Copies of the columns, with boxes and lanes in an order in which few links cross."""
    columns = [list(column) for column in columns]
    best, fewest = [list(column) for column in columns], crossings(columns, strands, shapes)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        rightwards = sweep % 2 == 0
        numbers = range(1, len(columns)) if rightwards else range(len(columns) - 2, -1, -1)
        for number in numbers:
            neighbour = columns[number - 1 if rightwards else number + 1]
            gap = strands[number - 1 if rightwards else number]
            columns[number] = _sorted_by_pull(columns[number], neighbour, gap, shapes, rightwards)
        if (count := crossings(columns, strands, shapes)) < fewest:
            best, fewest = [list(column) for column in columns], count
    return best


def stacked(
    column: Sequence[Vertex], shapes: Mapping[Vertex, Outline], space: float = 0.0
) -> dict[Vertex, float]:
    """The top of each box if the column is centred on 0 with ``space`` pixels between boxes."""
    tops: dict[Vertex, float] = {}
    y = -(sum(shapes[vertex].height + space for vertex in column) - space) / 2
    for vertex in column:
        tops[vertex] = y
        y += shapes[vertex].height + space
    return tops


def crossings(columns: Columns, strands: Sequence[list[Strand]], shapes: Mapping[Vertex, Outline]) -> int:
    """The number of pairs of strands that cross, taken as straight lines from socket to socket."""
    tops = [stacked(column, shapes) for column in columns]
    return sum(_inversions(gap, tops[i], tops[i + 1], shapes) for i, gap in enumerate(strands))


def _inversions(
    gap: list[Strand],
    left: Mapping[Vertex, float],
    right: Mapping[Vertex, float],
    shapes: Mapping[Vertex, Outline],
) -> int:
    ends = sorted((leaving(strand, left, shapes), entering(strand, right, shapes)) for strand in gap)
    seen: list[float] = []
    count = 0
    for _, end in ends:
        count += len(seen) - bisect.bisect_right(seen, end)
        bisect.insort(seen, end)
    return count


def leaving(strand: Strand, tops: Mapping[Vertex, float], shapes: Mapping[Vertex, Outline]) -> float:
    """The vertical position of the start of a strand, in pixels from the origin of ``tops``."""
    return tops[strand.source] + shapes[strand.source].outputs[strand.output]


def entering(strand: Strand, tops: Mapping[Vertex, float], shapes: Mapping[Vertex, Outline]) -> float:
    """The vertical position of the end of a strand, in pixels from the origin of ``tops``."""
    return tops[strand.target] + shapes[strand.target].inputs[strand.input]


def _sorted_by_pull(
    column: list[Vertex],
    neighbour: list[Vertex],
    gap: list[Strand],
    shapes: Mapping[Vertex, Outline],
    rightwards: bool,
) -> list[Vertex]:
    """The column, sorted by the mean vertical position of the sockets it is linked to in the neighbour."""
    there, here = stacked(neighbour, shapes), stacked(column, shapes)
    pulls: dict[Vertex, list[float]] = {}
    for strand in gap:
        if rightwards:
            pulls.setdefault(strand.target, []).append(leaving(strand, there, shapes))
        else:
            pulls.setdefault(strand.source, []).append(entering(strand, there, shapes))

    def height(vertex: Vertex) -> float:
        own = pulls.get(vertex)
        return sum(own) / len(own) if own else here[vertex]

    return sorted(column, key=height)
