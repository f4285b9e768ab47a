"""A workflow as an SVG picture: one self-contained file without scripts or embedded fonts."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from run_graph.graph.draw import palette
from run_graph.graph.draw.layout import Curve
from run_graph.graph.draw.scene import Dot, Group, Rectangle, Scene, Shape, Text, scene_of
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

_FONTS = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"


def draw_svg(workflow: Workflow, registry: Registry) -> str:
    """The workflow as SVG 1.1 text, in ComfyUI's look. Works for workflows with faults too."""
    return "\n".join(_lines(scene_of(workflow, registry))) + "\n"


def _lines(scene: Scene) -> Iterator[str]:
    width, height = _n(scene.layout.width), _n(scene.layout.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family={quoteattr(_FONTS)} role="img">'
    )
    yield f"<title>Workflow of {len(scene.groups)} nodes</title>"
    yield f'<rect width="{width}" height="{height}" fill="{palette.CANVAS}"/>'
    yield '<g fill="none" stroke-width="2.5" stroke-linecap="round">'
    yield from map(_curve, scene.layout.curves)
    yield "</g>"
    for group in scene.groups:
        yield from _group(group)
    yield "</svg>"


def _curve(curve: Curve) -> str:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve.start, curve.control1, curve.control2, curve.end
    path = f"M{_n(x0)} {_n(y0)}C{_n(x1)} {_n(y1)} {_n(x2)} {_n(y2)} {_n(x3)} {_n(y3)}"
    dashes = ' stroke-dasharray="7 5"' if curve.backward else ""
    colour = palette.FAULT if curve.backward else palette.socket_colour(curve.socket)
    return f'<path d="{path}" stroke="{colour}"{dashes}/>'


def _group(group: Group) -> Iterator[str]:
    yield f"<g><title>{escape(group.caption)}</title>"
    yield from map(_shape, group.shapes)
    yield "</g>"


def _shape(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        return _rectangle(shape)
    if isinstance(shape, Dot):
        return _dot(shape)
    return _text(shape)


def _rectangle(shape: Rectangle) -> str:
    corner = f' rx="{_n(shape.corner)}"' if shape.corner else ""
    outline = f' stroke="{shape.outline}"' if shape.outline else ""
    return (
        f'<rect x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" height="{_n(shape.height)}"'
        f'{corner} fill="{shape.fill or "none"}"{outline}/>'
    )


def _dot(shape: Dot) -> str:
    fill, outline = (palette.CANVAS, shape.colour) if shape.ring else (shape.colour, palette.CANVAS)
    place = f'cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.radius)}"'
    return f'<circle {place} fill="{fill}" stroke="{outline}" stroke-width="1.5"/>'


def _text(shape: Text) -> str:
    anchor = ' text-anchor="end"' if shape.anchor == "end" else ""
    weight = ' font-weight="bold"' if shape.bold else ""
    baseline = shape.y + 0.35 * shape.size  # half the cap height; librsvg lacks dominant-baseline
    return (
        f'<text x="{_n(shape.x)}" y="{_n(baseline)}" font-size="{_n(shape.size)}"{anchor}{weight} '
        f'fill="{shape.colour}">{escape(shape.text)}</text>'
    )


def _n(number: float) -> str:
    """A coordinate, rounded to a tenth of a pixel, without a trailing '.0'."""
    return f"{number:.1f}".removesuffix(".0")
