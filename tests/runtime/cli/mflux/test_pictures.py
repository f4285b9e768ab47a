"""Pictures under the names that the user asked for, in the formats that mflux writes."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from run_graph.runtime.cli.mflux.pictures import PictureNames, converted, write_new
from run_graph.runtime.events import FileSaved, NodeReused
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.images.exif import read_mflux_comment
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.images.writing import encode

SETTINGS = {"prompt": "è", "seed": 3}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file as SaveImage leaves it."""
    samples = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    path = tmp_path / "image_00001_.png"
    path.write_bytes(encode(samples, "png", {"run_graph": SETTINGS}).data)
    return path


def finish(names: PictureNames, path: Path) -> None:
    names(FileSaved("save", str(path)))


def test_the_picture_gets_the_name_and_nothing_else_is_left(saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    written: list[str] = []
    names = PictureNames({"save": tmp_path / "image.png"}, written.append, embed=True, sidecar=False)
    finish(names, saved)
    assert written == [str(tmp_path / "image.png")]
    assert [path.name for path in tmp_path.iterdir()] == ["image.png"]
    assert (tmp_path / "image.png").read_bytes() == data


def test_a_file_that_exists_stays_and_the_next_number_is_taken(saved: Path, tmp_path: Path) -> None:
    for name in ("image.png", "image_1.png"):
        (tmp_path / name).write_text("mine")
    written: list[str] = []
    names = PictureNames({"save": tmp_path / "image.png"}, written.append, embed=True, sidecar=True)
    finish(names, saved)
    assert written == [str(tmp_path / "image_2.png")]
    assert (tmp_path / "image.png").read_text() == (tmp_path / "image_1.png").read_text() == "mine"
    assert json.loads((tmp_path / "image_2.metadata.json").read_text(encoding="utf-8")) == SETTINGS


def test_without_exif_the_pixels_stay_and_the_settings_go_only_to_the_sidecar(
    saved: Path, tmp_path: Path
) -> None:
    before = np.asarray(Image.open(saved))
    finish(PictureNames({"save": tmp_path / "image.png"}, print, embed=False, sidecar=True), saved)
    path = tmp_path / "image.png"
    assert np.array_equal(np.asarray(Image.open(path)), before)
    assert read_text(path) == {}
    assert read_mflux_comment(path) is None
    assert json.loads(path.with_suffix(".metadata.json").read_text(encoding="utf-8"))["seed"] == 3


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP"), (".avif", "AVIF")]
)
@pytest.mark.parametrize("embed", [True, False])
def test_other_formats_keep_the_settings_as_exif_comment(
    saved: Path, tmp_path: Path, suffix: str, kind: str, embed: bool
) -> None:
    path = tmp_path / f"other{suffix}"
    documents = {"run_graph": SETTINGS} if embed else {}
    path.write_bytes(converted(saved.read_bytes(), suffix, documents).data)
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == (kind, (24, 16))
    assert read_mflux_comment(path) == (SETTINGS if embed else None)


def test_events_of_other_nodes_are_ignored(saved: Path, tmp_path: Path) -> None:
    written: list[str] = []
    names = PictureNames({"other": tmp_path / "image.png"}, written.append, embed=True, sidecar=False)
    finish(names, saved)
    assert saved.exists()
    assert written == []


def test_pictures_of_an_interrupted_run_get_their_names_too(saved: Path, tmp_path: Path) -> None:
    second = tmp_path / "image_00002_.png"
    second.write_bytes(saved.read_bytes())
    written: list[str] = []
    names = PictureNames({"save": tmp_path / "image.png"}, written.append, embed=True, sidecar=False)
    names(NodeReused("save", "SaveImage", "cache", {"path": str(saved), "paths": [str(saved), str(second)]}))
    assert written == [str(tmp_path / "image.png"), str(tmp_path / "image_1.png")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.png", "image_1.png"]


def test_a_folder_that_cannot_be_written_is_an_error_not_an_endless_search(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError):
        write_new(tmp_path / "file" / "image.png", io.BytesIO().getvalue())
