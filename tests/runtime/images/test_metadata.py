"""A saved picture says how it was made, in forms that run-graph, mflux, ComfyUI and people can read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from small import make_project, shipped, shrunk

from run_graph.graph import parse_workflow
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.formats.picture import read_embedded_workflow
from run_graph.runtime.generation import Generation, Reference
from run_graph.runtime.images.exif import read_mflux_comment
from run_graph.runtime.images.metadata import picture_metadata
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.values import Image

SETTINGS = {
    "prompt",
    "seed",
    "steps",
    "guidance",
    "width",
    "height",
    "model",
    "quantize",
    "redux_mode",
    "interpolation_mode",
    "redux_image_paths",
    "redux_image_strengths",
    "redux_tokens",
    "versions",
    "seconds",
    "input_directories",
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, small_model: str) -> Callable[[str], Path]:
    """The picture that a shipped workflow makes on the small model; each is made once."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, small_model)
    session, made = Session(cache=NoCache()), dict[str, Path]()

    def picture(name: str) -> Path:
        if name not in made:
            environment = RunEnvironment([folder], folder / "out")
            result = session.run(shrunk(shipped(name), small_model), environment=environment)
            made[name] = Path(result.outputs("save").path)  # type: ignore[attr-defined]
        return made[name]

    return picture


def document(path: Path, keyword: str) -> Any:
    return json.loads(PilImage.open(path).info[keyword])


def test_the_graph_is_embedded_as_run_in_comfyuis_format(
    pictures: Callable[[str], Path], small_model: str
) -> None:
    prompt = document(pictures("redux"), "prompt")
    assert prompt["vision"] == {
        "class_type": "SiglipEncode",
        "inputs": {"siglip": ["redux", 0], "image": ["photo", 0], "fit": "crop", "resample": "bicubic"},
    }
    assert prompt["photo"]["_meta"] == {"title": "Reference picture"}
    links = [
        value for spec in prompt.values() for value in spec["inputs"].values() if isinstance(value, list)
    ]
    assert len(links) == 13
    assert all(isinstance(slot, int) for _, slot in links)
    assert prompt.keys() == shipped("redux").nodes.keys()


def test_the_settings_are_complete(pictures: Callable[[str], Path], small_model: str) -> None:
    project = str(pictures("redux").parent.parent)
    settings = document(pictures("redux"), "run_graph")
    assert settings.keys() >= SETTINGS
    expected = {
        "prompt": "a car, flat style, on a blue background",
        "seed": 1,
        "steps": 2,
        "guidance": 3.5,
        "width": 32,
        "height": 32,
        "model": from_home(small_model),
        "quantize": None,
        "redux_model": from_home(small_model),
        "redux_mode": "medium",
        "interpolation_mode": "area",
        "redux_image_paths": ["images/fox.png"],
        "redux_image_strengths": [1.0],
        "redux_tokens": [81],
        "input_directories": [from_home(project)],
    }
    assert {name: settings[name] for name in expected} == expected
    assert {"run-graph", "mlx", "mflux", "python"} <= settings["versions"].keys()
    before_saving = shipped("redux").nodes.keys() - {"save"}
    assert settings["seconds"].keys() == before_saving
    assert all(seconds >= 0 for seconds in settings["seconds"].values())


def test_references_are_listed_in_the_order_of_their_tokens(pictures: Callable[[str], Path]) -> None:
    settings = document(pictures("two_references"), "run_graph")
    assert settings["redux_image_paths"] == ["images/sunset.png", "images/teapot.png"]
    assert settings["redux_image_strengths"] == [1.0, 0.8]
    assert settings["redux_tokens"] == [36, 81]
    assert settings["redux_mode"] == ["low", "medium"]
    assert settings["interpolation_mode"] == "area"


def test_without_a_reference_there_are_empty_lists(pictures: Callable[[str], Path]) -> None:
    settings = document(pictures("text_to_image"), "run_graph")
    assert settings["redux_image_paths"] == settings["redux_tokens"] == []
    assert settings["redux_mode"] is settings["interpolation_mode"] is None


def test_mfluxs_own_reader_finds_the_settings(pictures: Callable[[str], Path]) -> None:
    reader = pytest.importorskip("mflux.utils.metadata_reader")
    path = pictures("two_references")
    found = reader.MetadataReader.read_all_metadata(path)["exif"]
    assert found == document(path, "run_graph") == read_mflux_comment(path)


def test_a_picture_saved_by_mflux_is_read(tmp_path: Path) -> None:
    image_util = pytest.importorskip("mflux.utils.image_util")
    settings = {"prompt": "späte Füchse", "seed": 7, "redux_image_paths": ["a.png"]}
    image_util.ImageUtil.save_image(PilImage.new("RGB", (8, 8)), tmp_path / "theirs.png", settings)
    assert read_mflux_comment(tmp_path / "theirs.png") == settings


def test_the_embedded_graph_is_the_graph_with_defaults_written_out(
    pictures: Callable[[str], Path], small_model: str
) -> None:
    path = pictures("redux")
    workflow, folders = read_embedded_workflow(path, pytest.fail)
    assert workflow == parse_workflow(read_text(path)["prompt"])
    assert [folder.resolve() for folder in folders] == [path.parent, path.parent.parent]
    assert workflow.nodes["sample"].inputs["seed"] == 1


def test_nothing_but_the_picture_is_written(pictures: Callable[[str], Path]) -> None:
    folder = pictures("redux").parent
    pictures("two_references")
    assert all(path.suffix == ".png" and not path.name.startswith(".") for path in folder.iterdir())


def test_text_beyond_latin_1_survives(tmp_path: Path, small_model: str) -> None:
    workflow = shrunk(shipped("text_to_image"), small_model).with_input("prompt", "prompt", "狐 \0 🦊 \n")
    result = Session(cache=NoCache()).run(workflow, environment=RunEnvironment([], tmp_path))
    path = Path(result.outputs("save").path)  # type: ignore[attr-defined]
    assert document(path, "run_graph")["prompt"] == "狐 \0 🦊 \n"
    assert read_embedded_workflow(path, pytest.fail)[0].nodes["prompt"].inputs["prompt"] == "狐 \0 🦊 \n"


# -- settings, without a run ------------------------------------------------------------------------

GENERATION = Generation(
    prompt="a fox",
    references=(),
    parameters={"seed": 7, "steps": 4, "guidance": 3.5, "width": 32, "height": 16},
    model="dev",
    quantize=4,
)
PROVENANCE = {"prompt": {}, "versions": {}, "seconds": {}, "input_directories": []}


def from_home(path: str) -> str:
    """How a picture names a folder in the home folder."""
    return f"~/{Path(path).relative_to(Path.home())}"


def settings_of(*references: Reference) -> dict[str, Any]:
    image = Image(np.zeros((1, 1, 1, 3), np.float32), generation=replace(GENERATION, references=references))
    return picture_metadata(image, PROVENANCE)["run_graph"]


@pytest.mark.parametrize(
    ("references", "mode", "interpolation"),
    [
        ([Reference("a", mode="low", interpolation="area")], "low", "area"),
        (
            [
                Reference("a", mode="low", interpolation="area"),
                Reference("b", mode="low", interpolation="nearest"),
            ],
            "low",
            ["area", "nearest"],
        ),
        ([Reference("a"), Reference("b", mode="low", interpolation="area")], [None, "low"], [None, "area"]),
        ([Reference("a", interpolation="area", factor=2.5)], "factor 2.5", "area"),
        ([Reference("a")], None, None),
    ],
)
def test_a_mode_that_all_references_share_is_written_once(
    references: list[Reference], mode: Any, interpolation: Any
) -> None:
    settings = settings_of(*references)
    assert (settings["redux_mode"], settings["interpolation_mode"]) == (mode, interpolation)
