"""The contact sheet: where each picture goes, its labels, and what the file contains."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from engine import ENVIRONMENT, Engine, workflow
from PIL import Image as Pil

from run_graph.graph import Field, Node, Outputs, Registry, Workflow, WorkflowError
from run_graph.runtime.contact_sheet.layout import Band, Row, arrange
from run_graph.runtime.contact_sheet.painting import label_font, paint, wrap
from run_graph.runtime.contact_sheet.sheet import ContactSheet, reduced
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import NodeReused
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.sweep.expansion import Axis, Sweep, expand
from run_graph.runtime.values import Image

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}


class Picture(Outputs):
    image: Image


class Paint(Node):
    """One colour, a number of pixels wide and half as high."""

    colour: str = "red"
    width: int = 200

    def run(self, ctx: object) -> Picture:
        pixels = np.zeros((1, self.width // 2, self.width, 3), np.float32) + np.float32(COLOURS[self.colour])
        return Picture(image=Image(pixels))


class Show(Node):
    """An output node that is given a picture, and makes none."""

    is_output = True

    image: Image
    filename_prefix: str = "shown"

    def run(self, ctx: object) -> "Shown":
        return Shown(path=self.filename_prefix)


class Shown(Outputs):
    path: str


class Passed(Outputs):
    image: Image = Field(json_schema_extra={"forwards": "image"})
    path: str


class Pass(Show):
    """An output node that forwards its picture, as SaveImage does."""

    class_type = "Pass"

    def run(self, ctx: object) -> Passed:  # type: ignore[override]
        return Passed.model_construct(path=self.filename_prefix)


REGISTRY = Registry([Paint, Show, Pass])


def painting() -> Workflow:
    return workflow(paint=(Paint, {}), show=(Show, {"image": "@paint"}))


def saved(sweep: Sweep, folder: Path, targets: list[str] | None = None) -> Path:
    """The sheet of a run."""
    sheet = ContactSheet(sweep, REGISTRY, targets)
    Session(REGISTRY).run(
        sweep.workflow,
        targets=sweep.targets(targets) if targets else None,
        environment=ENVIRONMENT,
        on_event=sheet,
    )
    path = folder / "sheet.png"
    path.write_bytes(sheet.encoded(sweep.workflow, ENVIRONMENT, Path()))
    return path


def colours_across(path: Path, y: int) -> list[tuple[int, ...]]:
    """The saturated colours along a line of pixels, each run once."""
    line = np.asarray(Pil.open(path))[y]
    pure = [tuple(int(v) for v in pixel) for pixel in line if pixel.max() == 255 and pixel.min() == 0]
    return [colour for colour, _ in itertools.groupby(pure)]


# -- layout -----------------------------------------------------------------------------------------


def test_the_first_axis_runs_along_columns_the_second_down_rows() -> None:
    cells = {(i, j): f"{i}{j}" for i in range(3) for j in range(2)}
    [band] = arrange([("a", "b", "c"), ("x", "y")], cells)
    assert band == Band(("a", "b", "c"), (Row(("x",), ("00", "10", "20")), Row(("y",), ("01", "11", "21"))))


def test_further_axes_become_nested_row_labels() -> None:
    cells = {place: place for place in itertools.product(range(1), range(2), range(2))}
    [band] = arrange([("a",), ("x", "y"), ("1", "2")], cells)
    assert [row.labels for row in band.rows] == [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]
    assert [row.cells for row in band.rows] == [((0, 0, 0),), ((0, 0, 1),), ((0, 1, 0),), ((0, 1, 1),)]


@pytest.mark.parametrize(
    ("count", "widths"), [(1, [1]), (6, [6]), (7, [5, 2]), (36, [6] * 6), (50, [8] * 6 + [2])]
)
def test_a_long_single_axis_is_broken_into_bands(count: int, widths: list[int]) -> None:
    labels = tuple(map(str, range(count)))
    bands = arrange([labels], {(i,): i for i in range(count)})
    assert [len(band.columns) for band in bands] == widths
    assert [cell for band in bands for row in band.rows for cell in row.cells] == list(range(count))
    assert tuple(label for band in bands for label in band.columns) == labels


# -- painting ---------------------------------------------------------------------------------------


def test_pictures_are_unaltered_in_their_cells_with_labels_above_and_to_the_left() -> None:
    red, blue = Pil.new("RGB", (120, 90), "red"), Pil.new("RGB", (120, 90), "blue")
    sheet = np.asarray(paint([Band(("first", "second"), (Row(("row",), (red, blue)),))]))
    for colour in (np.array([255, 0, 0]), np.array([0, 0, 255])):
        assert (sheet == colour).all(axis=2).sum() == 120 * 90
    rows, columns = np.nonzero((sheet == [255, 0, 0]).all(axis=2))
    dark = sheet.max(axis=2) < 100
    assert dark[: rows.min(), columns.min() : columns.max()].any()  # the column's label
    assert dark[rows.min() : rows.max(), : columns.min()].any()  # the row's label


def test_labels_are_at_least_14_pixels_high_and_dark_on_white() -> None:
    tiny = Pil.new("RGB", (16, 16), "red")
    sheet = np.asarray(paint([Band(("XX",), (Row((), (tiny,)),))]).convert("L"))
    rows = np.nonzero((sheet < 60).any(axis=1))[0]
    assert rows.max() - rows.min() + 1 >= 9  # the capitals of a 14 pixel font
    assert sheet[0, 0] == 255


def test_a_missing_picture_leaves_a_grey_field() -> None:
    sheet = np.asarray(paint([Band(("a", "b"), (Row((), (Pil.new("RGB", (120, 60), "red"), None)),))]))
    assert (sheet == [236, 236, 236]).all(axis=2).sum() > 120 * 60 / 2


@pytest.mark.parametrize(
    "text", ["a prompt of many words, " * 20, "x" * 500, "short", "interpolation = nearest-exact"]
)
def test_wrapped_labels_fit_the_width_and_four_lines(text: str) -> None:
    font = label_font(14)
    lines = wrap(text, font, 112)
    assert len(lines) <= 4
    assert all(font.getlength(line) <= 112 for line in lines)
    shown = "".join(lines).replace(" ", "").rstrip("…")
    assert text.replace(" ", "").startswith(shown)


def test_large_pictures_are_reduced_and_keep_their_proportions() -> None:
    assert reduced(Image(np.zeros((1, 600, 1200, 3), np.float32)), 512).size == (512, 256)
    assert reduced(Image(np.zeros((1, 60, 120, 3), np.float32)), 512).size == (120, 60)


def test_pictures_of_a_batch_go_side_by_side() -> None:
    batch = np.stack([np.zeros((8, 10, 3)), np.ones((8, 10, 3))]).astype(np.float32)
    picture = np.asarray(reduced(Image(batch), 512))
    assert picture.shape == (8, 20, 3)
    assert picture[:, :10].max() == 0
    assert picture[:, 10:].min() == 255


# -- collecting -------------------------------------------------------------------------------------


def test_each_variants_picture_is_in_its_place(tmp_path: Path) -> None:
    sweep = expand(
        painting(),
        [Axis("paint", "colour", ("blue", "red", "green")), Axis("paint", "width", (200, 160))],
        REGISTRY,
    )
    path = saved(sweep, tmp_path)
    width, height = Pil.open(path).size
    assert width > 3 * 200
    for y in (height // 3, height - 70):
        assert colours_across(path, y) == [(0, 0, 255), (255, 0, 0), (0, 255, 0)]


def test_without_a_sweep_the_output_nodes_are_the_columns(tmp_path: Path) -> None:
    two = workflow(
        one=(Paint, {"colour": "red"}),
        two=(Paint, {"colour": "blue"}),
        show_two=(Show, {"image": "@two"}),
        show_one=(Show, {"image": "@one"}),
    )
    sweep = expand(two, [], REGISTRY)
    path = saved(sweep, tmp_path)
    assert colours_across(path, Pil.open(path).height - 50) == [(0, 0, 255), (255, 0, 0)]


def test_a_target_that_makes_pictures_is_shown_itself(tmp_path: Path) -> None:
    sweep = expand(painting(), [Axis("paint", "colour", ("green", "blue"))], REGISTRY)
    path = saved(sweep, tmp_path, ["paint"])
    assert colours_across(path, Pil.open(path).height - 50) == [(0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize("last", [Show, Pass])
def test_a_forwarded_picture_is_its_source_s(tmp_path: Path, last: type[Node]) -> None:
    chain = workflow(paint=(Paint, {}), passed=(Pass, {"image": "@paint"}), last=(last, {"image": "@passed"}))
    sweep = expand(chain, [Axis("paint", "colour", ("green", "blue"))], REGISTRY)
    path = saved(sweep, tmp_path, ["last"])
    assert colours_across(path, Pil.open(path).height - 50) == [(0, 255, 0), (0, 0, 255)]


def test_pairs_of_a_zip_are_in_a_row(tmp_path: Path) -> None:
    axes = [Axis("paint", "colour", ("green", "blue")), Axis("paint", "width", (200, 160))]
    sweep = expand(painting(), axes, REGISTRY, zipped=True)
    path = saved(sweep, tmp_path)
    assert colours_across(path, Pil.open(path).height - 60) == [(0, 255, 0), (0, 0, 255)]


def test_results_that_are_reused_are_shown_too(tmp_path: Path) -> None:
    sweep = expand(painting(), [Axis("paint", "colour", ("green", "blue"))], REGISTRY)
    sheet = ContactSheet(sweep, REGISTRY, ["paint"])
    engine = Engine(REGISTRY)
    engine.run(sweep.workflow, sweep.targets(["paint"]))
    engine.session.run(
        sweep.workflow, targets=sweep.targets(["paint"]), environment=ENVIRONMENT, on_event=sheet
    )
    path = tmp_path / "sheet.png"
    path.write_bytes(sheet.encoded(sweep.workflow, ENVIRONMENT, Path()))
    assert colours_across(path, Pil.open(path).height - 50) == [(0, 255, 0), (0, 0, 255)]


def test_a_picture_saved_by_an_interrupted_run_is_read_back(tmp_path: Path) -> None:
    sweep = expand(painting(), [Axis("paint", "colour", ("green", "blue"))], REGISTRY)
    sheet = ContactSheet(sweep, REGISTRY)
    for show, colour in zip(sweep.copies["show"], ("green", "blue"), strict=True):
        path = tmp_path / f"{colour}.png"
        Pil.new("RGB", (200, 100), tuple(255 * c for c in COLOURS[colour])).save(path)
        sheet(NodeReused(show, "Show", "cache", {"path": str(path)}))
    path = tmp_path / "sheet.png"
    path.write_bytes(sheet.encoded(sweep.workflow, ENVIRONMENT, Path()))
    assert colours_across(path, Pil.open(path).height - 50) == [(0, 255, 0), (0, 0, 255)]


def test_a_run_without_pictures_is_refused_before_it_begins() -> None:
    class Speak(Node):
        is_output = True

        def run(self, ctx: object) -> Shown:
            return Shown(path="")

    registry = Registry([Speak])
    sweep = expand(workflow(speak=(Speak, {})), [], registry)
    with pytest.raises(WorkflowError, match="no picture to put on a contact sheet"):
        ContactSheet(sweep, registry)


def test_the_sheet_contains_the_swept_workflow_and_the_sweep(tmp_path: Path) -> None:
    sweep = expand(painting(), [Axis("paint", "colour", ("green", "blue"))], REGISTRY)
    path = saved(sweep, tmp_path)
    text = read_text(path)
    assert Workflow.from_json(json.loads(text["prompt"])) == sweep.workflow
    provenance = json.loads(text["run_graph"])
    assert provenance["sweep"] == [{"node": "paint", "input": "colour", "values": ["green", "blue"]}]
    assert "versions" in provenance


def test_a_listener_that_keeps_all_events_keeps_no_picture_in_memory() -> None:
    engine = Engine(REGISTRY)
    sweep = expand(painting(), [], REGISTRY)
    engine.run(sweep.workflow)
    engine.session.cache.clear()  # type: ignore[attr-defined]
    finished = [event for event in engine.events if event.kind == "node_finished"]
    assert [event.node_id for event in finished] == ["paint", "show"]  # type: ignore[attr-defined]
    assert finished[0].outputs() is None  # type: ignore[attr-defined]
    assert "outputs" not in finished[0].to_json()
