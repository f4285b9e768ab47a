"""Vertical positions of the boxes in ordered columns: links run as level as the order allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from run_graph.graph.draw.ordering import Columns, Outline, entering, leaving, stacked
from run_graph.graph.draw.routing import Lane, Strand, Vertex

SWEEPS, FINAL_PASSES = 6, 4
# A lane weighs more than a box, so that long links run straight. A box without links on the side
# considered weighs little, so that it makes way for the others.
_LANE_WEIGHT, _BOX_WEIGHT, _FREE_WEIGHT = 4.0, 1.0, 0.1


def placed(
    columns: Columns, strands: Sequence[list[Strand]], shapes: Mapping[Vertex, Outline], space: float
) -> dict[Vertex, float]:
    """The top of every box and lane, in pixels; at least ``space`` between neighbours in a column.

    Sweeps from left to right align each column with the one before it, sweeps from right to left with the
    one after it. The last passes align it with both, and the lanes of each output with one another.
    """
    tops: dict[Vertex, float] = {}
    for column in columns:
        tops.update(stacked(column, shapes, space))
    for sweep in range(SWEEPS):
        rightwards = sweep % 2 == 0
        for number in range(len(columns)) if rightwards else reversed(range(len(columns))):
            before, after = _gaps(strands, number)
            desired = _desired_tops(before if rightwards else [], [] if rightwards else after, tops, shapes)
            tops.update(_adjusted(columns[number], desired, tops, shapes, space))
    for _ in range(FINAL_PASSES):
        common = _common_heights(tops)
        for number, column in enumerate(columns):
            desired = _desired_tops(*_gaps(strands, number), tops, shapes)
            desired |= {lane: common[lane.source, lane.output] for lane in column if isinstance(lane, Lane)}
            tops.update(_adjusted(column, desired, tops, shapes, space))
    return tops


def _gaps(strands: Sequence[list[Strand]], column: int) -> tuple[list[Strand], list[Strand]]:
    """The strands that end in a column, and those that start in it."""
    before = strands[column - 1] if column > 0 else []
    after = strands[column] if column < len(strands) else []
    return before, after


def _common_heights(tops: Mapping[Vertex, float]) -> dict[tuple[str, int], float]:
    """The mean top of all lanes of each output."""
    heights: dict[tuple[str, int], list[float]] = {}
    for vertex, top in tops.items():
        if isinstance(vertex, Lane):
            heights.setdefault((vertex.source, vertex.output), []).append(top)
    return {key: sum(own) / len(own) for key, own in heights.items()}


def _desired_tops(
    before: list[Strand], after: list[Strand], tops: Mapping[Vertex, float], shapes: Mapping[Vertex, Outline]
) -> dict[Vertex, float]:
    """Where the top of each box should be for its strands to be level on average."""
    levels: dict[Vertex, list[float]] = {}
    for strand in before:
        own = shapes[strand.target].inputs[strand.input]
        levels.setdefault(strand.target, []).append(leaving(strand, tops, shapes) - own)
    for strand in after:
        own = shapes[strand.source].outputs[strand.output]
        levels.setdefault(strand.source, []).append(entering(strand, tops, shapes) - own)
    return {vertex: sum(heights) / len(heights) for vertex, heights in levels.items()}


def _adjusted(
    column: list[Vertex],
    desired: Mapping[Vertex, float],
    tops: Mapping[Vertex, float],
    shapes: Mapping[Vertex, Outline],
    space: float,
) -> dict[Vertex, float]:
    """The tops nearest to the desired ones (weighted least squares) that keep the order and the spacing.

    If the desired tops are measured from those of the packed column, this is isotonic regression; it is
    solved by the pool-adjacent-violators algorithm.
    """
    packed = stacked(column, shapes, space)
    pools: list[tuple[float, float, list[Vertex]]] = []  # weighted sum, weight, members
    for vertex in column:
        target = desired.get(vertex)
        weight = _FREE_WEIGHT if target is None else _LANE_WEIGHT if isinstance(vertex, Lane) else _BOX_WEIGHT
        total, members = weight * ((tops[vertex] if target is None else target) - packed[vertex]), [vertex]
        while pools and pools[-1][0] / pools[-1][1] > total / weight:
            earlier_total, earlier_weight, earlier = pools.pop()
            earlier.extend(members)
            total, weight, members = total + earlier_total, weight + earlier_weight, earlier
        pools.append((total, weight, members))
    return {vertex: packed[vertex] + total / weight for total, weight, members in pools for vertex in members}
