"""Workflow files and pictures of version 0.1 run as they did, with one line about what was renamed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small import edit

from run_graph.runtime.cli import main as cli

NOTE = "run-graph: redux.json: written for version 0.1: "


def as_in_0_1(nodes: dict[str, Any]) -> None:
    """What version 0.1 wrote for the same workflow."""
    save = nodes["save"]["inputs"]
    save["image"] = save.pop("images")
    del save["filename_prefix"]
    for name in ("background", "frames"):
        nodes["photo"]["inputs"].pop(name, None)


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_an_old_file_makes_the_same_picture_under_its_old_name_with_a_note(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--no-cache"]) == 0
    new = capsys.readouterr()
    assert NOTE not in new.err
    edit(project, as_in_0_1)
    assert cli.main(["redux.json", "--no-cache"]) == 0
    old = capsys.readouterr()
    assert old.err.count(NOTE) == 1
    assert Path(old.out.strip()).name == "run-graph_00001_.png"
    np.testing.assert_array_equal(pixels(old.out.strip()), pixels(new.out.strip()))


def test_quiet_says_nothing_of_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(project, as_in_0_1)
    assert cli.main(["redux.json", "--quiet", "--validate"]) == 0
    assert capsys.readouterr().err == ""


def test_a_picture_of_this_version_carries_the_migrated_workflow(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project, as_in_0_1)
    assert cli.main(["redux.json", "--no-cache"]) == 0
    path = capsys.readouterr().out.strip()
    graph = json.loads(Image.open(path).info["prompt"])
    assert graph["photo"]["inputs"]["background"] == "white"
    assert graph["save"]["inputs"]["images"] == ["image", 0]
    assert cli.main([path, "--no-cache"]) == 0
    again = capsys.readouterr()
    assert "version 0.1" not in again.err
    np.testing.assert_array_equal(pixels(again.out.strip()), pixels(path))


def test_the_old_name_of_an_input_is_refused_with_the_new_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project, as_in_0_1)
    assert cli.main(["redux.json", "--set", "save.image=x"]) == 2
    message = capsys.readouterr().err
    assert "SaveImage has no input 'image'. Did you mean 'images'?" in message
