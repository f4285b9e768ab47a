"""Files of version 0.1 are read as they were meant, with a note about what was renamed."""

import json
import warnings
from pathlib import Path

import pytest

from run_graph.graph import Graph, Link, NodeSpec, Workflow, load_workflow
from run_graph.graph.formats.v01 import migrated

OLD = {
    "photo": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}, "_meta": {"title": "Photo"}},
    "save": {"class_type": "SaveImage", "inputs": {"image": ["photo", 0], "filename_prefix": "fox"}},
    "again": {"class_type": "LoadImage", "inputs": {"image": ["save", 0]}},
    "name": {
        "class_type": "SaveImage",
        "inputs": {"image": ["again", "image"], "filename_prefix": ["save", "path"]},
    },
    "bare": {"class_type": "SaveImage", "inputs": {"image": ["photo", 0]}},
}


def migrate(workflow: Workflow) -> tuple[Workflow, list[str]]:
    notes: list[str] = []
    return migrated(workflow, notes.append), notes


def test_names_slots_and_defaults_are_brought_up_to_date_with_one_note() -> None:
    workflow, notes = migrate(Workflow.from_json(OLD))
    reading = {"background": "white", "frames": "first"}
    assert workflow == Workflow(
        {
            "photo": NodeSpec("LoadImage", {"image": "fox.png", **reading}, "Photo"),
            "save": NodeSpec("SaveImage", {"images": Link("photo", 0), "filename_prefix": "fox"}),
            "again": NodeSpec("LoadImage", {"image": Link("save", "path"), **reading}),
            "name": NodeSpec(
                "SaveImage",
                {"images": Link("again", "image"), "filename_prefix": Link("save", "path")},
            ),
            "bare": NodeSpec("SaveImage", {"images": Link("photo", 0), "filename_prefix": "run-graph"}),
        }
    )
    [note] = notes
    assert note.startswith("written for version 0.1: SaveImage's input `image` is now `images`")
    assert "\n" not in note


def test_a_migrated_workflow_is_of_this_version() -> None:
    workflow, _ = migrate(Workflow.from_json(OLD))
    assert migrate(workflow) == (workflow, [])


@pytest.mark.parametrize(
    "spec",
    [
        {"class_type": "SaveImage", "inputs": {"images": ["photo", 0], "filename_prefix": "ComfyUI"}},
        {"class_type": "SaveImage", "inputs": {"images": ["photo", 0], "image": 1}},
        {"class_type": "SavePicture", "inputs": {"image": ["photo", 0]}},
        {"class_type": "SaveImage", "inputs": {}},
    ],
)
def test_other_files_are_left_alone(spec: dict[str, object]) -> None:
    workflow = Workflow.from_json({"photo": OLD["photo"], "save": spec})
    changed, notes = migrate(workflow)
    assert changed is workflow
    assert notes == []


def test_what_a_file_says_stays() -> None:
    photo = {"class_type": "LoadImage", "inputs": {"image": "fox.png", "background": "black"}}
    workflow, _ = migrate(Workflow.from_json({**OLD, "photo": photo}))
    assert workflow.nodes["photo"].inputs["background"] == "black"


def test_the_slot_0_of_other_nodes_stays() -> None:
    new = {"class_type": "SaveImage", "inputs": {"images": ["save", 0]}}
    newer = {"class_type": "SaveImage", "inputs": {"images": ["new", 0]}}
    workflow, _ = migrate(Workflow.from_json({**OLD, "new": new, "newer": newer}))
    assert workflow.nodes["newer"].inputs["images"] == Link("new", 0)


def test_a_file_is_migrated_with_a_warning_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(OLD))
    with pytest.warns(UserWarning, match=r"old\.json: written for version 0\.1") as caught:
        workflow = load_workflow(path)
    assert caught[0].filename == __file__
    assert workflow == migrate(Workflow.from_json(OLD))[0]


def test_a_graph_is_loaded_from_such_a_file(tmp_path: Path) -> None:
    from run_graph.graph import installed_nodes

    path = tmp_path / "old.json"
    path.write_text(json.dumps(OLD))
    with pytest.warns(UserWarning, match="written for version 0"):
        graph = Graph.load(path, installed_nodes())
    assert graph.workflow.nodes["again"].inputs["image"] == Link("save", 1)
    graph.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Graph.load(path, installed_nodes()) == graph
