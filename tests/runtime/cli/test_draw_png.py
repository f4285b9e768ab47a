"""Drawings as PNG: the SVG's layout, painted by Pillow."""

import io
import itertools
import math

import pytest
from drawing_samples import FAULTY, REGISTRY, TWO_PICTURES, node, workflow
from PIL import Image, ImageColor

from run_graph.graph import Registry, Workflow
from run_graph.graph.draw import FORMATS, draw, palette
from run_graph.graph.draw.diagram import diagram_of
from run_graph.graph.draw.layout import Layout, lay_out
from run_graph.runtime.cli.draw_png import LARGEST_SIDE, MOST_PIXELS, SCALE, draw_png, drawing


def opened(drawn: Workflow, registry: Registry = REGISTRY) -> Image.Image:
    image = Image.open(io.BytesIO(draw_png(drawn, registry)))
    image.load()
    return image


def layout_of(drawn: Workflow) -> Layout:
    return lay_out(diagram_of(drawn, REGISTRY))


def near(image: Image.Image, x: float, y: float, colour: str, tolerance: int = 12) -> bool:
    found = image.getpixel((round(x * SCALE), round(y * SCALE)))
    return all(abs(a - b) <= tolerance for a, b in zip(found, ImageColor.getrgb(colour), strict=True))


def test_it_is_a_png_of_twice_the_layouts_size() -> None:
    image, layout = opened(TWO_PICTURES), layout_of(TWO_PICTURES)
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert image.size == (math.ceil(layout.width * 2), math.ceil(layout.height * 2))


def test_boxes_sockets_and_links_are_where_the_layout_puts_them() -> None:
    image, layout = opened(TWO_PICTURES), layout_of(TWO_PICTURES)
    for box in layout.boxes:
        assert near(image, box.x + box.width - 4, box.y + 20, palette.title_colour(box.node.category))
        assert near(image, box.x + box.width / 2, box.y + box.height - 4, palette.BODY)
        for port, y in zip(box.node.inputs, box.input_heights, strict=True):
            assert near(
                image, box.x, y, palette.socket_colour(port.socket) if port.linked else palette.CANVAS
            )
    for curve in layout.curves:
        middle = [(start + end) / 2 for start, end in zip(curve.start, curve.end, strict=True)]
        assert near(image, *middle, palette.socket_colour(curve.socket))
    assert near(image, 3, 3, palette.CANVAS, 0)


def test_titles_and_values_are_written() -> None:
    def inked(title: str, value: str) -> bytes:
        return opened(workflow(photo=node("LoadImage", title, image=value))).tobytes()

    variants = [inked("One", "a.png"), inked("Two", "a.png"), inked("One", "b.png"), inked("One", "a.png")]
    assert variants[0] == variants[3]
    assert all(one != other for one, other in itertools.combinations(variants[:3], 2))


def test_faulty_nodes_are_outlined_in_red() -> None:
    image, layout = opened(FAULTY), layout_of(FAULTY)
    outlines = {
        box.node.node_id: near(image, box.x + box.width / 2, box.y + box.height - 0.5, palette.FAULT, 90)
        for box in layout.boxes
    }
    assert [node_id for node_id, red in outlines.items() if red] == ["photo", "gone"]


@pytest.mark.parametrize("drawn", [workflow(), FAULTY, TWO_PICTURES])
def test_every_workflow_can_be_drawn_even_with_faults(drawn: Workflow) -> None:
    assert opened(drawn, Registry()).width > 0


def test_text_in_any_script_is_drawn() -> None:
    assert opened(workflow(photo=node("LoadImage", "狐\x00\ud800<é>", image="\n\u202e")))


@pytest.mark.parametrize("linked", [True, False])
def test_the_picture_of_a_huge_workflow_has_a_limited_size(linked: bool) -> None:
    nodes = {
        str(number): node("Choose", a=[str(number - 1), 0]) if linked else node("LoadImage", image="x")
        for number in range(400)
    }
    image = opened(Workflow.from_json(nodes))
    assert max(image.size) <= LARGEST_SIDE + 1
    assert image.width * image.height <= 1.1 * MOST_PIXELS


@pytest.mark.parametrize("suffix", FORMATS)
def test_drawing_writes_the_text_formats_as_utf8(suffix: str) -> None:
    assert drawing(TWO_PICTURES, REGISTRY, suffix).decode("utf-8") == draw(TWO_PICTURES, REGISTRY, suffix)


def test_drawing_chooses_png_by_its_suffix_and_refuses_others() -> None:
    assert drawing(TWO_PICTURES, REGISTRY, ".PNG").startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\.bmp"):
        drawing(TWO_PICTURES, REGISTRY, ".bmp")
