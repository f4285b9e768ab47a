"""Drawings of a workflow as files. For PNG, Pillow paints the same scene that the SVG shows."""

from __future__ import annotations

import io
import itertools
import math
from functools import cache

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from run_graph.graph.draw import draw, palette
from run_graph.graph.draw.layout import Curve, Point
from run_graph.graph.draw.scene import Dot, Rectangle, Scene, Shape, Text, scene_of
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.files.outputs import OWN_MARK

SCALE = 2.0
LARGEST_SIDE, MOST_PIXELS = 32_000, 24_000_000
# Pillow draws lines and ellipses without antialiasing, so we paint this many times larger and then reduce.
OVERSAMPLING = 2

_CURVE_STEPS = 24
_DASH = 7.0


def drawing(workflow: Workflow, registry: Registry, suffix: str) -> bytes:
    """The contents of a drawing file in the format that ``suffix`` names.

    Parameters
    ----------
    suffix : str
        ``".png"`` or one of :data:`graph.draw.FORMATS`, in upper or lower case.

    Raises
    ------
    ValueError
        For any other suffix.
    """
    if suffix.lower() == ".png":
        return draw_png(workflow, registry)
    return draw(workflow, registry, suffix).encode()


def draw_png(workflow: Workflow, registry: Registry) -> bytes:
    """The workflow as a PNG file that looks like ComfyUI. Works for drafts with faults, too.

    It has two pixels for each of the SVG's; fewer if a side would exceed 32,000 pixels or the picture
    24 million. With many hundreds of nodes, only the SVG is readable.
    """
    scene = scene_of(workflow, registry)
    image = _painted(scene, _scale(scene.layout.width, scene.layout.height))
    file = io.BytesIO()
    mark = PngInfo()
    mark.add_text("Software", OWN_MARK)
    image.save(file, "PNG", optimize=image.width * image.height < 4_000_000, pnginfo=mark)
    return file.getvalue()


def _scale(width: float, height: float) -> float:
    return min(SCALE, LARGEST_SIDE / max(width, height), math.sqrt(MOST_PIXELS / (width * height)))


def _painted(scene: Scene, scale: float) -> Image.Image:
    width, height = math.ceil(scene.layout.width * scale), math.ceil(scene.layout.height * scale)
    image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), palette.CANVAS)
    painter = _Painter(ImageDraw.Draw(image), scale * OVERSAMPLING)
    for curve in scene.layout.curves:
        painter.curve(curve)
    for group in scene.groups:
        for shape in group.shapes:
            painter.shape(shape)
    return image.reduce(OVERSAMPLING)


class _Painter:
    """Paints shapes given in layout pixels on an image ``scale`` times as large."""

    def __init__(self, canvas: ImageDraw.ImageDraw, scale: float) -> None:
        self._canvas = canvas
        self._scale = scale

    def curve(self, curve: Curve) -> None:
        points = [self._at(*point) for point in _flattened(curve)]
        if curve.backward:
            for dash in _dashes(points, _DASH * self._scale):
                self._canvas.line(dash, palette.FAULT, self._thickness(2.5))
        else:
            self._canvas.line(
                points, palette.socket_colour(curve.socket), self._thickness(2.5), joint="curve"
            )

    def shape(self, shape: Shape) -> None:
        if isinstance(shape, Rectangle):
            self._rectangle(shape)
        elif isinstance(shape, Dot):
            self._dot(shape)
        else:
            self._text(shape)

    def _rectangle(self, shape: Rectangle) -> None:
        corners = (*self._at(shape.x, shape.y), *self._at(shape.x + shape.width, shape.y + shape.height))
        self._canvas.rounded_rectangle(
            corners, shape.corner * self._scale, shape.fill, shape.outline, self._thickness(1)
        )

    def _dot(self, shape: Dot) -> None:
        fill, outline = (palette.CANVAS, shape.colour) if shape.ring else (shape.colour, palette.CANVAS)
        reach = shape.radius + 0.75
        corners = (*self._at(shape.x - reach, shape.y - reach), *self._at(shape.x + reach, shape.y + reach))
        self._canvas.ellipse(corners, fill, outline, self._thickness(1.5))

    def _text(self, shape: Text) -> None:
        size = shape.size * self._scale
        if size < 1:
            return
        self._canvas.text(
            self._at(shape.x, shape.y),
            shape.text,
            shape.colour,
            _font(size),
            anchor="rm" if shape.anchor == "end" else "lm",
            stroke_width=size / 40 if shape.bold else 0,
        )

    def _at(self, x: float, y: float) -> Point:
        return x * self._scale, y * self._scale

    def _thickness(self, width: float) -> int:
        return max(1, round(width * self._scale))


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _flattened(curve: Curve) -> list[Point]:
    """Points along a cubic Bézier curve."""
    if curve.start[1] == curve.end[1] and not curve.backward:
        return [curve.start, curve.end]
    points = []
    for step in range(_CURVE_STEPS + 1):
        t = step / _CURVE_STEPS
        weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        anchors = (curve.start, curve.control1, curve.control2, curve.end)
        points.append(
            (
                sum(w * x for w, (x, _) in zip(weights, anchors, strict=True)),
                sum(w * y for w, (_, y) in zip(weights, anchors, strict=True)),
            )
        )
    return points


def _dashes(points: list[Point], length: float) -> list[list[Point]]:
    """Every other piece of a polyline that is cut into pieces of about ``length``, at most 200 of them."""
    lengths = [math.dist(start, end) for start, end in itertools.pairwise(points)]
    length = max(length, sum(lengths) / 200)
    dashes: list[list[Point]] = []
    travelled = 0.0
    for (start, end), distance in zip(itertools.pairwise(points), lengths, strict=True):
        pieces = max(1, math.ceil(distance / (length / 4)))
        for piece in range(pieces):
            if int(travelled / length) % 2 == 0:
                dashes.append(
                    [_between(start, end, piece / pieces), _between(start, end, (piece + 1) / pieces)]
                )
            travelled += distance / pieces
    return dashes


def _between(start: Point, end: Point, fraction: float) -> Point:
    return start[0] + (end[0] - start[0]) * fraction, start[1] + (end[1] - start[1]) * fraction
