"""The positions of everything in a picture, in pixels: one layout for all picture formats.

The steps are those of a layered drawing. Nodes are assigned to columns (:mod:`graph.draw.layers`). Links that
pass through a column get a lane in it (:mod:`graph.draw.routing`). Boxes and lanes are ordered within each
column so that few links cross (:mod:`graph.draw.ordering`), then moved up or down so that links run as level
as the order allows (:mod:`graph.draw.placing`). The same workflow always gives the same layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from run_graph.graph.draw.diagram import Connection, Diagram, DiagramNode, Port
from run_graph.graph.draw.layers import layer_numbers
from run_graph.graph.draw.measure import text_width
from run_graph.graph.draw.ordering import Outline, entering, leaving, ordered
from run_graph.graph.draw.placing import placed
from run_graph.graph.draw.routing import Routes, Vertex, route

TITLE_SIZE, SMALL_SIZE, TEXT_SIZE = 13.0, 10.0, 11.5
BOLD_WIDTH = 1.14  # the width of bold text relative to regular text
TITLE_HEIGHT, ROW_HEIGHT, PADDING = 38.0, 20.0, 8.0
NARROWEST, WIDEST = 150.0, 300.0
COLUMN_SPACE, BOX_SPACE, MARGIN = 84.0, 26.0, 28.0
_LANE_SHAPE = Outline(4.0, (2.0,), (2.0,))

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A node's position. Input i is at (x, input_heights[i]), output i at (x + width, output_heights[i])."""

    node: DiagramNode
    x: float
    y: float
    width: float
    height: float
    input_heights: tuple[float, ...]
    output_heights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """A cubic Bézier curve for a link or a part of one; ``backward`` if it leads to the left."""

    start: Point
    control1: Point
    control2: Point
    end: Point
    socket: str
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes and curves; the origin is the top left corner of the picture."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    curves: tuple[Curve, ...]


def lay_out(diagram: Diagram) -> Layout:
    """Compute the layout of a diagram."""
    layers = layer_numbers(diagram.nodes, ((link.source, link.target) for link in diagram.connections))
    routes = route(diagram.connections, layers)
    shapes: dict[Vertex, Outline] = {node_id: _shape(node) for node_id, node in diagram.nodes.items()}
    shapes.update(dict.fromkeys(routes.lanes, _LANE_SHAPE))
    columns: list[list[Vertex]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for node_id in diagram.nodes:
        columns[layers[node_id]].append(node_id)
    for lane in routes.lanes:
        columns[lane.layer].append(lane)
    columns = ordered(columns, routes.strands, shapes)
    tops = placed(columns, routes.strands, shapes, BOX_SPACE)
    lift = MARGIN - min(tops.values(), default=0.0)
    tops = {vertex: top + lift for vertex, top in tops.items()}
    boxes = _boxes(diagram, layers, shapes, tops, len(columns))
    curves = _curves(routes, layers, boxes, shapes, tops)
    bounds = [point for curve in curves if curve.backward for point in _hull(curve)]
    corners = [(box.x + box.width, box.y + box.height) for box in boxes.values()]
    return Layout(
        width=max((x for x, _ in corners + bounds), default=0.0) + MARGIN,
        height=max((y for _, y in corners + bounds), default=0.0) + MARGIN,
        boxes=tuple(boxes.values()),
        curves=tuple(curves),
    )


def _shape(node: DiagramNode) -> Outline:
    rows = max(len(node.inputs), len(node.outputs))
    height = TITLE_HEIGHT + PADDING + (rows + len(node.parameters)) * ROW_HEIGHT + PADDING
    first = TITLE_HEIGHT + PADDING + ROW_HEIGHT / 2
    return Outline(
        height,
        tuple(first + row * ROW_HEIGHT for row in range(len(node.inputs))),
        tuple(first + row * ROW_HEIGHT for row in range(len(node.outputs))),
    )


def _natural_width(node: DiagramNode) -> float:
    """The smallest width at which no text in the box is cut."""
    head = text_width(node.title, BOLD_WIDTH * TITLE_SIZE)
    sockets = zip_longest(_widths(node.inputs), _widths(node.outputs), fillvalue=0.0)
    names = [left + right + 24 for left, right in sockets]
    values = [
        text_width(name, TEXT_SIZE) + text_width(value, TEXT_SIZE) + 22 for name, value in node.parameters
    ]
    return max([head, text_width(subtitle(node), SMALL_SIZE), *names, *values]) + 2 * 14


def _widths(ports: Iterable[Port]) -> list[float]:
    return [text_width(port.name, TEXT_SIZE) for port in ports]


def subtitle(node: DiagramNode) -> str:
    """The small line under a box's title: the id, the class if the title differs from it, the problem."""
    shown_class = node.class_type if node.class_type != node.title else ""
    own_id = node.node_id if node.node_id != node.title else ""
    return "  ·  ".join(part for part in (own_id, shown_class, node.problem) if part)


def _boxes(
    diagram: Diagram,
    layers: Mapping[str, int],
    shapes: Mapping[Vertex, Outline],
    tops: Mapping[Vertex, float],
    count: int,
) -> dict[str, Box]:
    """All boxes by node id; boxes in the same column have the same width."""
    widths = [NARROWEST] * count
    for node_id, node in diagram.nodes.items():
        layer = layers[node_id]
        widths[layer] = max(widths[layer], min(_natural_width(node), WIDEST))
    lefts = [MARGIN]
    for width in widths:
        lefts.append(lefts[-1] + width + COLUMN_SPACE)
    boxes = {}
    for node_id, node in diagram.nodes.items():
        shape, top = shapes[node_id], tops[node_id]
        boxes[node_id] = Box(
            node,
            lefts[layers[node_id]],
            top,
            widths[layers[node_id]],
            shape.height,
            tuple(top + offset for offset in shape.inputs),
            tuple(top + offset for offset in shape.outputs),
        )
    return boxes


def _curves(
    routes: Routes,
    layers: Mapping[str, int],
    boxes: Mapping[str, Box],
    shapes: Mapping[Vertex, Outline],
    tops: Mapping[Vertex, float],
) -> list[Curve]:
    edges = {layers[node_id]: (box.x, box.x + box.width) for node_id, box in boxes.items()}
    curves = []
    for lane, socket in routes.lanes.items():
        left, right = edges[lane.layer]
        curves.append(_rightward((left, tops[lane] + 2), (right, tops[lane] + 2), socket))
    for layer, gap in enumerate(routes.strands):
        for strand in gap:
            start = edges[layer][1], leaving(strand, tops, shapes)
            end = edges[layer + 1][0], entering(strand, tops, shapes)
            curves.append(_rightward(start, end, strand.socket))
    return curves + [_direct(link, boxes) for link in routes.direct]


def _rightward(start: Point, end: Point, socket: str) -> Curve:
    reach = (end[0] - start[0]) / 2
    return Curve(start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end, socket)


def _direct(link: Connection, boxes: Mapping[str, Box]) -> Curve:
    """A single curve between two boxes; it passes below both if it leads to the left."""
    source, target = boxes[link.source], boxes[link.target]
    start = source.x + source.width, source.output_heights[link.output]
    end = target.x, target.input_heights[link.input]
    if end[0] > start[0]:
        return _rightward(start, end, link.socket)
    depth = max(source.y + source.height, target.y + target.height) + 70
    reach = COLUMN_SPACE + 20
    return Curve(start, (start[0] + reach, depth), (end[0] - reach, depth), end, link.socket, backward=True)


def _hull(curve: Curve) -> tuple[Point, Point]:
    """Points that bound a backward curve: it reaches at most three quarters of the way to its controls."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve.start, curve.control1, curve.control2, curve.end
    return (x0 + 0.75 * (x1 - x0), y0 + 0.75 * (y1 - y0)), (x3 + 0.75 * (x2 - x3), y3 + 0.75 * (y2 - y3))
