"""How a picture names the files that a run used: without absolute paths and the user's name."""

import os
from pathlib import Path
from typing import Any

import pytest

from run_graph.runtime.files.inputs import find_input
from run_graph.runtime.files.recorded_names import RecordedNames, recorded_folder, shareable


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, a project in it (the working directory), and a disk outside of both."""
    for folder in ("home/alice/project/images", "home/alice/photos", "disk/refs"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (
        "home/alice/project/images/fox.png",
        "home/alice/project/fox.png",
        "home/alice/photos/me.png",
        "disk/refs/far.png",
    ):
        (tmp_path / file).write_text(file)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "alice"))
    monkeypatch.chdir(tmp_path / "home" / "alice" / "project")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("{root}/home/alice/project/images/fox.png", "images/fox.png"),
        ("{root}/home/alice/photos/me.png", "~/photos/me.png"),
        ("~/photos/me.png", "~/photos/me.png"),
        ("../photos/me.png", "~/photos/me.png"),
        ("{root}/home/alice/photos", "~/photos"),
        ("{root}/disk/refs/far.png", "far.png"),
        ("{root}/disk/refs", "refs"),
        ("images/fox.png", "images/fox.png"),
        ("a fox", "a fox"),
        ("/imagine a fox", "/imagine a fox"),
        ("../no such file", "../no such file"),
        ("~", "~"),
        ("", ""),
    ],
)
def test_a_path_becomes_a_name_and_other_text_stays(place: Path, path: str, name: str) -> None:
    assert RecordedNames(["."]).name(path.format(root=place)) == name


def test_a_name_finds_the_file_itself_even_where_another_hides_it(place: Path) -> None:
    here = Path.cwd()
    folders = [here / "images", here]
    path = str(here / "fox.png")
    name = RecordedNames(folders).name(path)
    assert not os.path.isabs(name)
    assert "alice" not in name
    assert os.path.samefile(find_input(name, folders), path)


def test_a_hidden_file_outside_of_home_is_named_relative_to_the_first_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    for file in ("fox.png", "images/fox.png"):
        (tmp_path / file).write_text(file)
    monkeypatch.setenv("HOME", "/nowhere/alice")
    monkeypatch.chdir(tmp_path)
    assert RecordedNames([tmp_path / "images", tmp_path]).name(str(tmp_path / "fox.png")) == "../fox.png"


@pytest.mark.parametrize(
    ("folder", "start", "name"),
    [
        ("images", "output", "../images"),
        (".", "output/a", "../.."),
        ("images", "images", "."),
        ("../photos", "output", "~/photos"),
        ("{root}/disk", "output", None),
        ("{root}/disk/refs", "{root}/disk", "refs"),
        ("images", "{root}/disk", "~/project/images"),
    ],
)
def test_an_input_folder_is_relative_to_the_picture_or_to_home_or_left_out(
    place: Path, folder: str, start: str, name: str | None
) -> None:
    beginning = Path(start.format(root=place))
    found = RecordedNames([]).folder(folder.format(root=place), beginning)
    assert found == name
    if found is not None:
        assert recorded_folder(found, beginning).resolve() == Path(folder.format(root=place)).resolve()


def test_an_input_folder_is_found_through_a_symbolic_link(place: Path) -> None:
    (Path.cwd() / "deep" / "real").mkdir(parents=True)
    Path("out").symlink_to(Path.cwd() / "deep" / "real")
    name = RecordedNames([]).folder(Path.cwd(), Path("out"))
    assert name is not None
    assert recorded_folder(name, Path("out")).resolve() == Path.cwd()


def test_no_path_of_a_document_is_left_absolute(place: Path) -> None:
    path = str(place / "home/alice/photos/me.png")
    places = [str(Path.cwd()), str(place / "disk")]
    documents: dict[str, Any] = {
        "prompt": {"photo": {"inputs": {"image": path, "list": [path, 3, None], "text": "a fox"}}},
        "run_graph": {
            "redux_image_paths": [path],
            "input_directories": places,
        },
    }
    found = shareable(documents, Path("output"))
    assert str(place) not in repr(found)
    assert "alice" not in repr(found)
    assert found["prompt"]["photo"]["inputs"] == {
        "image": "~/photos/me.png",
        "list": ["~/photos/me.png", 3, None],
        "text": "a fox",
    }
    assert found["run_graph"]["input_directories"] == [".."]
