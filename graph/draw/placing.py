"""Heights of the boxes in ordered columns: as level with what they are linked to as their order allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from run_graph.graph.draw.ordering import Columns, Outline, entering, leaving, stacked
from run_graph.graph.draw.routing import Lane, Strand, Vertex

SWEEPS, STRAIGHTENINGS = 6, 4
# A lane moves less willingly than a box, so that long links run straight; what is linked to nothing
# on the side that is looked at gives way.
_LANE_WEIGHT, _BOX_WEIGHT, _FREE_WEIGHT = 4.0, 1.0, 0.1


def placed(
    columns: Columns, strands: Sequence[list[Strand]], shapes: Mapping[Vertex, Outline], space: float
) -> dict[Vertex, float]:
    """The top of every box and lane, in pixels; at least ``space`` between neighbours in a column.

    Each column in turn is levelled with the one before it, then with the one after it, to and fro; at
    last with both, the lanes of one output being drawn to one common height.
    """
    tops: dict[Vertex, float] = {}
    for column in columns:
        tops.update(stacked(column, shapes, space))
    for sweep in range(SWEEPS):
        rightwards = sweep % 2 == 0
        for number in range(len(columns)) if rightwards else reversed(range(len(columns))):
            before, after = _gaps(strands, number)
            wishes = _wishes(before if rightwards else [], [] if rightwards else after, tops, shapes)
            tops.update(_settled(columns[number], wishes, tops, shapes, space))
    for _ in range(STRAIGHTENINGS):
        common = _common_heights(tops)
        for number, column in enumerate(columns):
            wishes = _wishes(*_gaps(strands, number), tops, shapes)
            wishes |= {lane: common[lane.source, lane.output] for lane in column if isinstance(lane, Lane)}
            tops.update(_settled(column, wishes, tops, shapes, space))
    return tops


def _gaps(strands: Sequence[list[Strand]], column: int) -> tuple[list[Strand], list[Strand]]:
    """The strands that end and those that begin in a column."""
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


def _wishes(
    before: list[Strand], after: list[Strand], tops: Mapping[Vertex, float], shapes: Mapping[Vertex, Outline]
) -> dict[Vertex, float]:
    """Where each box's top would be for its strands to be level, on average."""
    levels: dict[Vertex, list[float]] = {}
    for strand in before:
        own = shapes[strand.target].inputs[strand.input]
        levels.setdefault(strand.target, []).append(leaving(strand, tops, shapes) - own)
    for strand in after:
        own = shapes[strand.source].outputs[strand.output]
        levels.setdefault(strand.source, []).append(entering(strand, tops, shapes) - own)
    return {vertex: sum(heights) / len(heights) for vertex, heights in levels.items()}


def _settled(
    column: list[Vertex],
    wishes: Mapping[Vertex, float],
    tops: Mapping[Vertex, float],
    shapes: Mapping[Vertex, Outline],
    space: float,
) -> dict[Vertex, float]:
    """The tops nearest to the wishes (least squares) that keep the order and the space between.

    With each box's wish measured from where it would stand in a packed column, this is isotonic
    regression; it is solved by pooling adjacent violators.
    """
    packed = stacked(column, shapes, space)
    pools: list[tuple[float, float, list[Vertex]]] = []  # weighted sum, weight, members
    for vertex in column:
        wish = wishes.get(vertex)
        weight = _FREE_WEIGHT if wish is None else _LANE_WEIGHT if isinstance(vertex, Lane) else _BOX_WEIGHT
        total, members = weight * ((tops[vertex] if wish is None else wish) - packed[vertex]), [vertex]
        while pools and pools[-1][0] / pools[-1][1] > total / weight:
            earlier_total, earlier_weight, earlier = pools.pop()
            earlier.extend(members)
            total, weight, members = total + earlier_total, weight + earlier_weight, earlier
        pools.append((total, weight, members))
    return {vertex: packed[vertex] + total / weight for total, weight, members in pools for vertex in members}
