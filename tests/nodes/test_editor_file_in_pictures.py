"""Saved pictures carry their graph as a file of ComfyUI's editor too, so that it opens there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from run_graph.graph import Graph, Registry, Workflow
from run_graph.graph.formats.api import workflow_from
from run_graph.nodes import NODES, LoadImage, SaveImage
from run_graph.nodes.comfyui.picture_files import PreviewImage
from run_graph.runtime.cli import main as cli
from run_graph.runtime.formats.picture import read_embedded_workflow
from run_graph.runtime.images.exif import read_comfyui_documents
from run_graph.runtime.images.writing import encode


@pytest.fixture(autouse=True)
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture in a folder of a user, who works in another folder."""
    folder = tmp_path / "home" / "jane.doe" / "private"
    folder.mkdir(parents=True)
    Image.new("RGB", (16, 8), "orange").save(folder / "photo.png")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder / "photo.png"


def saved(photo: Path, **inputs: Any) -> Path:
    """The file that a graph of two nodes writes."""
    graph = Graph()
    loaded = graph.add(LoadImage(image=str(photo)), id="photo")
    node = graph.add(SaveImage(images=loaded.image, **inputs), id="save")
    return Path(graph.run(cache=False).value(node.path))


def documents(path: Path) -> dict[str, Any]:
    found = read_comfyui_documents(path) if path.suffix != ".png" else Image.open(path).info
    return {name: json.loads(found[name]) for name in ("prompt", "workflow", "run_graph") if name in found}


def read(editor: Mapping[str, Any]) -> Workflow:
    return workflow_from(editor, pytest.fail, Registry(NODES))


@pytest.mark.parametrize("saved_as", ["png", "webp", "avif", "jpeg"])
def test_the_editor_file_means_the_graph_beside_it(saved_as: str, photo: Path) -> None:
    path = saved(photo, format=saved_as, filename_prefix="a")
    found = documents(path)
    assert found["workflow"]["version"] == 0.4
    assert read(found["workflow"]) == Workflow.from_json(found["prompt"])
    assert read_embedded_workflow(path, pytest.fail)[0].nodes["save"].inputs["format"] == saved_as


def test_no_absolute_path_and_no_user_is_named(photo: Path) -> None:
    data = saved(photo).read_bytes()
    assert b"jane.doe" not in data
    assert str(photo.parent).encode() not in data
    assert b"photo.png" in data


@pytest.mark.parametrize(("kept", "names"), [("all", {"prompt", "workflow", "run_graph"}), ("none", set())])
def test_a_picture_carries_what_it_is_asked_to(kept: str, names: set[str], photo: Path) -> None:
    assert documents(saved(photo, metadata=kept)).keys() == names


def test_settings_alone_are_no_graph(photo: Path) -> None:
    assert documents(saved(photo, metadata="settings")).keys() == {"run_graph"}


def test_previews_open_too(photo: Path) -> None:
    graph = Graph()
    node = graph.add(PreviewImage(images=graph.add(LoadImage(image=str(photo))).image))
    found = documents(Path(graph.run(cache=False).value(node.path)))
    assert read(found["workflow"]) == Workflow.from_json(found["prompt"])


def test_a_picture_of_a_sweep_opens_as_the_graph_of_this_picture(photo: Path) -> None:
    nodes = {
        "photo": {"class_type": "LoadImage", "inputs": {"image": str(photo)}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["photo", 0], "filename_prefix": "s"}},
    }
    Path("in.json").write_text(json.dumps(nodes))
    sweep = ["--sweep", "save.format=png,webp", "--contact-sheet", "sheet.png"]
    assert cli.main(["in.json", "--no-cache", "--quiet", *sweep]) == 0
    for path in Path("output").glob("s_*"):
        found = documents(path)
        assert [each["id"] for each in found["workflow"]["nodes"]] == ["photo", "save"]
        assert read(found["workflow"]) == Workflow.from_json(found["prompt"])
    sheet = documents(Path("sheet.png"))
    assert read(sheet["workflow"]) == Workflow.from_json(sheet["prompt"])
    assert len(sheet["prompt"]) == 3


def test_where_there_is_no_room_the_editor_file_goes_first() -> None:
    samples = np.zeros((8, 8, 3), np.uint8)
    large = {"text": "x" * 70_000}
    assert encode(samples, "jpeg", {"prompt": {}, "workflow": large, "run_graph": {}}).left_out == (
        "workflow",
    )
    assert encode(samples, "webp", {"prompt": {}, "workflow": large, "run_graph": {}}).left_out == ()
