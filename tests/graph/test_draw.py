"""Drawings as text: SVG, mermaid, plain text, and the layout under the SVG."""

import itertools
import os
import random
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from drawing_samples import FAULTY, REGISTRY, TWO_PICTURES, node, workflow
from hypothesis import given
from hypothesis import strategies as st

from run_graph.graph import Registry, Workflow
from run_graph.graph.draw import FORMATS, draw, draw_mermaid, draw_svg, draw_text
from run_graph.graph.draw.diagram import diagram_of
from run_graph.graph.draw.layers import layer_numbers
from run_graph.graph.draw.layout import Layout, lay_out
from run_graph.graph.draw.measure import fitted, plain, text_width, value_text
from run_graph.graph.draw.ordering import Outline, crossings, ordered
from run_graph.graph.draw.routing import Strand

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '"]; click n0',
    "<script>alert(1)</script>",
    "a\nb",
    "]]>",
    "&amp;",
    "#quot;",
    "\x00\x1b[31m",
    "\ud800",
    "狐",
]


def layout_of(drawn: Workflow) -> Layout:
    return lay_out(diagram_of(drawn, REGISTRY))


def random_workflow(seed: int, count: int = 25, cyclic: bool = False) -> Workflow:
    rng = random.Random(seed)
    nodes = {}
    for number in range(count):
        upper = count if cyclic else max(1, number)
        a, b = (str(rng.randrange(upper)) for _ in range(2))
        nodes[str(number)] = node("Choose", a=[a, 0], b=[b, 0]) if number else node("Encode")
    return Workflow.from_json(nodes)


# --- all formats


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("drawn", [TWO_PICTURES, FAULTY, workflow(), random_workflow(1, cyclic=True)])
def test_every_workflow_can_be_drawn_even_with_faults(suffix: str, drawn: Workflow) -> None:
    assert draw(drawn, REGISTRY, suffix).endswith("\n")
    assert draw(drawn, Registry(), suffix.upper()).endswith("\n")


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_drawing_shows_every_node_and_parameter(suffix: str) -> None:
    text = draw(TWO_PICTURES, REGISTRY, suffix)
    for shown in ("Photo of a fox", "photo", "LoadImage", "sunset.png", "strength", "0.25", "mode", "high"):
        assert shown in text


def test_an_unknown_suffix_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(ValueError, match=r"'\.gif'.*\.svg, \.mmd, \.txt"):
        draw(TWO_PICTURES, REGISTRY, ".gif")


def test_drawings_are_the_same_in_every_process() -> None:
    script = (
        "import sys; from drawing_samples import *; from run_graph.graph.draw import *\n"
        "drawings = [draw(w, REGISTRY, s) for w in (FAULTY, TWO_PICTURES) for s in FORMATS]\n"
        "sys.stdout.buffer.write(''.join(drawings).encode())"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("shape", ["chain", "bus", "tangle"])
def test_two_thousand_nodes_take_seconds(shape: str) -> None:
    sources = {
        "chain": lambda number: (number - 1, max(0, number - 3)),
        "bus": lambda number: (0, number - 1),
        "tangle": lambda number: (number * 7919 % 2000, number * 104729 % 2000),
    }[shape]
    nodes = {}
    for number in range(2000):
        a, b = sources(number)
        nodes[str(number)] = node("Choose", a=[str(a), 0], b=[str(b), 0])
    large = Workflow.from_json(nodes)
    start = time.perf_counter()
    for suffix in FORMATS:
        draw(large, REGISTRY, suffix)
    assert time.perf_counter() - start < 20


# --- SVG


def test_svg_is_one_self_contained_picture() -> None:
    text = draw_svg(TWO_PICTURES, REGISTRY)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    width, height = root.get("width"), root.get("height")
    assert root.get("viewBox") == f"0 0 {width} {height}"
    assert {element.tag for element in root.iter()} == {
        SVG + name for name in ("svg", "title", "rect", "g", "path", "circle", "text")
    }
    assert "href" not in text
    assert "url(" not in text


def test_svg_has_a_group_for_each_node_and_a_curve_for_each_link() -> None:
    root = ET.fromstring(draw_svg(TWO_PICTURES, REGISTRY))
    captions = [group.findtext(f"{SVG}title") for group in root.findall(f"{SVG}g")[1:]]
    assert captions[0] == "Photo of a fox (photo  ·  LoadImage)\nimage: fox.png"
    assert len(captions) == 6
    assert len(root.findall(f".//{SVG}path")) == 6


@given(st.text(max_size=30) | st.sampled_from(HOSTILE))
def test_svg_is_well_formed_whatever_the_workflow_says(text: str) -> None:
    drawn = Workflow.from_json(
        {text: node("LoadImage", text, image=text), "x": {"class_type": text, "inputs": {text: [text, text]}}}
    )
    root = ET.fromstring(draw_svg(drawn, REGISTRY).encode("utf-8"))
    assert len(root.findall(f"{SVG}g")) == 1 + len(drawn.nodes)


def test_svg_marks_faults() -> None:
    text = draw_svg(FAULTY, REGISTRY)
    assert "unknown class" in text
    assert "no such node" in text
    assert text.count("stroke-dasharray") == 2  # d feeds c, which feeds d; and d feeds itself
    assert "stroke-dasharray" not in draw_svg(TWO_PICTURES, REGISTRY)


def test_long_values_are_cut_to_their_box() -> None:
    drawn = workflow(photo=node("LoadImage", image="x" * 5000))
    text = draw_svg(drawn, REGISTRY)
    shown = max((element.text or "" for element in ET.fromstring(text).iter(f"{SVG}text")), key=len)
    assert re.fullmatch("x{10,60}…", shown)
    assert len(text) < 4000


# --- layout


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cyclic", [False, True])
def test_boxes_never_overlap(seed: int, cyclic: bool) -> None:
    boxes = layout_of(random_workflow(seed, cyclic=cyclic)).boxes
    assert len(boxes) == 25
    for one, other in itertools.combinations(boxes, 2):
        apart_x = one.x + one.width < other.x or other.x + other.width < one.x
        apart_y = one.y + one.height < other.y or other.y + other.height < one.y
        assert apart_x or apart_y, (one.node.node_id, other.node.node_id)


@pytest.mark.parametrize("drawn", [TWO_PICTURES, FAULTY, random_workflow(3), random_workflow(4, cyclic=True)])
def test_everything_is_inside_the_picture(drawn: Workflow) -> None:
    layout = layout_of(drawn)
    for box in layout.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for curve in layout.curves:
        for x, y in points_along(curve):
            assert 0 <= x <= layout.width
            assert 0 <= y <= layout.height


@pytest.mark.parametrize("seed", range(8))
def test_links_lead_to_the_right_and_cross_no_box(seed: int) -> None:
    layout = layout_of(random_workflow(seed))
    for curve in layout.curves:
        assert curve.start[0] < curve.end[0]
        for x, y in points_along(curve):
            inside = [
                box.node.node_id
                for box in layout.boxes
                if box.x + 1 < x < box.x + box.width - 1 and box.y < y < box.y + box.height
            ]
            assert not inside


def test_each_link_runs_from_its_output_to_its_input() -> None:
    layout = layout_of(TWO_PICTURES)
    boxes = {box.node.node_id: box for box in layout.boxes}
    photo, encode = boxes["photo"], boxes["a"]
    ends = {(curve.start, curve.end, curve.socket) for curve in layout.curves}
    for output, input, socket in ((0, 0, "IMAGE"), (1, 1, "MASK")):
        start = (photo.x + photo.width, photo.output_heights[output])
        assert (start, (encode.x, encode.input_heights[input]), socket) in ends


def test_a_node_is_to_the_right_of_all_its_sources() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("late", "c")]
    assert layer_numbers("abc", edges) == {"a": 0, "b": 1, "c": 2, "late": 1}


def test_a_cycle_is_cut_where_a_walk_from_the_sources_closes_it() -> None:
    edges = [("in", "a"), ("a", "b"), ("b", "a"), ("b", "out"), ("out", "out")]
    assert layer_numbers(["b", "a", "in", "out"], edges) == {"in": 0, "a": 1, "b": 2, "out": 3}


def test_a_chain_of_twenty_thousand_is_layered_without_recursion() -> None:
    ids = [str(number) for number in range(20_000)]
    layers = layer_numbers(ids, itertools.pairwise(ids))
    assert layers["19999"] == 19_999


def test_crossings_are_counted_and_removed() -> None:
    shapes = {name: Outline(10, (5,), (5,)) for name in "abcxyz"}
    strands = [[Strand(s, 0, t, 0, "*") for s, t in ("az", "by", "cx")]]
    columns = [list("abc"), list("xyz")]
    assert crossings(columns, strands, shapes) == 3
    assert crossings(ordered(columns, strands, shapes), strands, shapes) == 0
    assert columns == [list("abc"), list("xyz")]


def test_a_link_between_equal_nodes_is_level() -> None:
    chain = workflow(a=node("Encode"), b=node("Choose", a=["a", 0]), c=node("Choose", a=["b", 0]))
    layout = layout_of(chain)
    assert all(abs(curve.start[1] - curve.end[1]) < 0.5 for curve in layout.curves)


def points_along(curve):  # type: ignore[no-untyped-def]
    corners = (curve.start, curve.control1, curve.control2, curve.end)
    for step in range(21):
        t = step / 20
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        yield tuple(
            sum(w * corner[axis] for w, corner in zip(weights, corners, strict=True)) for axis in (0, 1)
        )


# --- mermaid

LABEL = r'"(?:[^"#<>;\n]|#\d+;|</?[bi]>|<br/>)*"'
STATEMENT = re.compile(
    rf"flowchart LR|  n\d+\[{LABEL}\](:::fault)?|  n\d+ -->\|{LABEL}\| n\d+|  classDef fault [\w:, -]+"
)


def test_mermaid_has_a_line_for_each_node_and_link() -> None:
    lines = draw_mermaid(TWO_PICTURES, REGISTRY).splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[1] == '  n0["<b>Photo of a fox</b><br/><i>photo  ·  LoadImage</i><br/>image = fox.png"]'
    assert '  n2 -->|"tokens → a"| n4' in lines
    assert len(lines) == 1 + 6 + 6


@given(st.text(max_size=30) | st.sampled_from(HOSTILE))
def test_any_text_is_escaped_in_mermaid(text: str) -> None:
    drawn = Workflow.from_json(
        {text: node("LoadImage", text, image=text), "x": {"class_type": text, "inputs": {text: [text, text]}}}
    )
    for line in draw_mermaid(drawn, REGISTRY).rstrip("\n").split("\n"):
        assert STATEMENT.fullmatch(line), line


def test_mermaid_marks_nodes_with_problems() -> None:
    marked = [line for line in draw_mermaid(FAULTY, REGISTRY).splitlines() if line.endswith(":::fault")]
    assert len(marked) == 2


# --- plain text


def test_text_lists_nodes_in_order_with_their_inputs_and_outputs() -> None:
    blocks = draw_text(TWO_PICTURES, REGISTRY).rstrip("\n").split("\n\n")
    assert [block.split()[0] for block in blocks] == ["photo", "other", "a", "b", "pick", "save"]
    assert blocks[0] == 'photo  LoadImage  "Photo of a fox"\n│ image = fox.png\n└ image, mask'
    assert blocks[3] == (
        "b  Encode\n│ image ← other.image\n│ mask ← nothing\n│ strength = 0.25\n└ tokens REDUX_TOKENS"
    )


def test_text_marks_faults_where_they_are() -> None:
    lines = draw_text(FAULTY, REGISTRY).splitlines()
    assert "photo  LoadImagee  (unknown class)" in lines
    assert "│ mask ← gone.output 1  (no such node)" in lines
    assert "│ wrong ← a.output 7  (no such output)" in lines
    assert "│ image ← nothing  (required)" in lines
    assert "│ a ← d.tokens  (closes a cycle)" in lines


def test_text_has_no_control_characters() -> None:
    drawn = workflow(photo=node("LoadImage", "\x1b[2Jtitle", image="a\x07\nb\u202ec"))
    text = draw_text(drawn, REGISTRY)
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert "image = a\ufffd b\ufffdc" in text


# --- measuring


def test_text_is_cut_to_a_width_and_no_further() -> None:
    assert fitted("short", 10, 100) == "short"
    cut = fitted("a rather long line of text", 10, 60)
    assert cut.endswith("…")
    assert text_width(cut, 10) <= 60
    assert text_width(cut[:-1] + "mm…", 10) > 60
    assert fitted("anything", 10, 0) == "…"


def test_values_are_shown_on_one_line() -> None:
    assert value_text("two\nlines") == "two lines"
    assert value_text("") == '""'
    assert value_text(None) == "null"
    assert value_text({"__value__": [1, 2]}) == "[1, 2]"
    assert len(value_text("x" * 999)) == 200
    assert plain(" a \t b\u2028") == "a b"
