"""A layout as simple shapes, which every picture format paints in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from run_graph.graph.draw import palette
from run_graph.graph.draw.diagram import DiagramNode, Port, diagram_of
from run_graph.graph.draw.layout import (
    BOLD_WIDTH,
    PADDING,
    ROW_HEIGHT,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_HEIGHT,
    TITLE_SIZE,
    Box,
    Layout,
    lay_out,
    subtitle,
)
from run_graph.graph.draw.measure import fitted, text_width
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

CORNER, SOCKET_RADIUS, INDENT = 7.0, 5.0, 14.0


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle with rounded corners. Colours are ``#rrggbb``; None means no interior or no outline."""

    x: float
    y: float
    width: float
    height: float
    corner: float
    fill: str | None
    outline: str | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """A socket: a filled dot, or a ring if it is not linked."""

    x: float
    y: float
    radius: float
    colour: str
    ring: bool


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; ``x`` is its start or end, depending on ``anchor``; ``y`` is its vertical middle."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: Literal["start", "end"] = "start"
    bold: bool = False


Shape = Rectangle | Dot | Text


@dataclass(frozen=True, slots=True)
class Group:
    """The shapes of one box, and its full text for a tooltip."""

    caption: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, painted in this order: background ``palette.CANVAS``, curves of the layout, groups."""

    layout: Layout
    groups: tuple[Group, ...]


def scene_of(workflow: Workflow, registry: Registry) -> Scene:
    """Lay out a workflow and draw its boxes as shapes."""
    layout = lay_out(diagram_of(workflow, registry))
    return Scene(layout, tuple(Group(_caption(box.node), tuple(_shapes(box))) for box in layout.boxes))


def _shapes(box: Box) -> Iterator[Shape]:
    yield from _frame(box)
    for ports, heights, x in (
        (box.node.inputs, box.input_heights, box.x),
        (box.node.outputs, box.output_heights, box.x + box.width),
    ):
        for row, (port, y) in enumerate(zip(ports, heights, strict=True)):
            yield from _socket(box, port, x, y, row)
    rows = max(len(box.node.inputs), len(box.node.outputs))
    top = box.y + TITLE_HEIGHT + PADDING + rows * ROW_HEIGHT
    for row, (name, value) in enumerate(box.node.parameters):
        yield from _parameter(box, name, value, top + row * ROW_HEIGHT)


def _frame(box: Box) -> Iterator[Shape]:
    """Body, title bar (rounded at the top only), title, subtitle and outline."""
    faulty = bool(box.node.problem)
    title = palette.FAULT_TITLE if faulty else palette.title_colour(box.node.category)
    room = box.width - 2 * INDENT
    yield Rectangle(box.x, box.y, box.width, box.height, CORNER, palette.BODY)
    yield Rectangle(box.x, box.y, box.width, TITLE_HEIGHT, CORNER, title)
    yield Rectangle(box.x, box.y + TITLE_HEIGHT - CORNER, box.width, CORNER, 0, title)
    caption = fitted(box.node.title or "(no class)", BOLD_WIDTH * TITLE_SIZE, room)
    yield Text(box.x + INDENT, box.y + 14, caption, TITLE_SIZE, palette.TEXT, bold=True)
    yield Text(
        box.x + INDENT, box.y + 28, fitted(subtitle(box.node), SMALL_SIZE, room), SMALL_SIZE, palette.DIM
    )
    outline = palette.FAULT if faulty else palette.BORDER
    yield Rectangle(box.x, box.y, box.width, box.height, CORNER, None, outline)


def _socket(box: Box, port: Port, x: float, y: float, row: int) -> Iterator[Shape]:
    on_left = x == box.x
    faulty = not port.known or (port.required and not port.linked)
    dot = palette.FAULT if faulty else palette.socket_colour(port.socket)
    yield Dot(x, y, SOCKET_RADIUS, dot, ring=not port.linked)
    others = box.node.outputs if on_left else box.node.inputs
    facing = text_width(others[row].name, TEXT_SIZE) if row < len(others) else 0.0
    whole = box.width - 2 * INDENT
    room = max(whole - facing - 12, whole / 2 - 6)
    yield Text(
        x + INDENT if on_left else x - INDENT,
        y,
        fitted(port.name, TEXT_SIZE, room),
        TEXT_SIZE,
        palette.FAULT if faulty else palette.TEXT,
        "start" if on_left else "end",
    )


def _parameter(box: Box, name: str, value: str, top: float) -> Iterator[Shape]:
    left, right, middle = box.x + INDENT, box.x + box.width - INDENT, top + ROW_HEIGHT / 2
    room = right - left
    label = fitted(name, TEXT_SIZE, room - 14 - min(text_width(value, TEXT_SIZE), 0.4 * room))
    rest = room - text_width(label, TEXT_SIZE) - 14
    yield Rectangle(left - 7, top + 1, room + 14, ROW_HEIGHT - 2, 5, palette.WELL)
    yield Text(left, middle, label, TEXT_SIZE, palette.DIM)
    yield Text(right, middle, fitted(value, TEXT_SIZE, rest), TEXT_SIZE, palette.TEXT, "end")


def _caption(node: DiagramNode) -> str:
    lines = [f"{node.title} ({subtitle(node)})" if subtitle(node) else node.title]
    lines += [f"{name}: {value}" for name, value in node.parameters]
    return "\n".join(lines)
