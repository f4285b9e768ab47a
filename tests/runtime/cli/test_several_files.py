"""``run-graph a.json b.json``: several workflows as one plan."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small import edit

from run_graph.runtime.cli import main as cli

STAGES = 11  # nodes of redux.json
SHARED = 8  # of those, the nodes that do not depend on the seed: all but sample, decode and save


@pytest.fixture
def pair(project: Path) -> list[str]:
    """``redux.json`` and, in a folder of its own, ``other.json``: the same with another seed and size."""
    folder = project.parent / "elsewhere"
    folder.mkdir()
    shutil.copytree(project.parent / "images", folder / "images")
    other = Path(shutil.copy(project, folder / "other.json"))
    edit(other, lambda nodes: nodes["sample"]["inputs"].update(seed=7, width=48))
    return ["redux.json", "elsewhere/other.json"]


def events(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert cli.main([*arguments, "--json", "--no-cache"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def named(found: list[dict[str, Any]], kind: str) -> list[str]:
    return [event["node_id"] for event in found if event["event"] == kind]


def graph_in(path: str) -> dict[str, Any]:
    with Image.open(path) as picture:
        return dict(json.loads(picture.info["prompt"]))


def test_shared_stages_run_once_and_each_model_is_loaded_once(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = events(capsys, *pair)
    assert found[0] == {"event": "workflows", "files": {"redux": pair[0], "other": pair[1]}}
    assert len(named(found, "node_started")) == 2 * STAGES - SHARED
    assert len(named(found, "node_reused")) == SHARED
    loads = Counter(
        (event["name"], event["component"]) for event in found if event["event"] == "model_loaded"
    )
    assert len(loads) == 6
    assert set(loads.values()) == {1}


def test_each_picture_contains_only_its_own_graph_and_has_its_own_name(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(pair) == 0
    paths = capsys.readouterr().out.split()
    assert paths == ["output/redux_00001_.png", "output/redux_00002_.png"]
    graphs = [graph_in(path) for path in paths]
    assert [graph.keys() for graph in graphs] == [json.loads(Path(file).read_text()).keys() for file in pair]
    assert [graph["sample"]["inputs"]["seed"] for graph in graphs] == [1, 7]
    with Image.open(paths[1]) as picture:
        settings = json.loads(picture.info["run_graph"])
    assert settings["width"] == 48
    assert settings["input_directories"][0] == "../elsewhere"
    assert {"vision", "sample"} <= settings["seconds"].keys()


def test_each_file_uses_the_picture_beside_it(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path("elsewhere/images").iterdir():
        Image.new("RGB", (32, 32), "red").save(path)
    started = named(events(capsys, *pair), "node_started")
    assert {"redux:photo", "other:photo", "redux:vision", "other:vision"} <= set(started)
    assert sum(node.endswith(":prompt") for node in started) == 1


def test_the_same_workflow_twice_is_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = events(capsys, "redux.json", "redux.json")
    assert found[0]["files"].keys() == {"redux", "redux-2"}
    assert len(named(found, "node_started")) == STAGES
    assert len(list(Path("output").iterdir())) == 1


def test_a_fault_in_one_file_stops_all_before_anything_runs(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(Path(pair[1]), lambda nodes: nodes["sample"]["inputs"].update(steps=0))
    assert cli.main(pair) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(
        "run-graph: elsewhere/other.json: node 'sample' (FluxSample), input 'steps'"
    )
    assert not Path("output").exists()


def test_faults_of_all_files_are_reported_together(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for file in pair:
        edit(Path(file), lambda nodes: nodes["sample"]["inputs"].update(steps=0))
    assert cli.main(pair) == 2
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == pair
    assert cli.main([*pair, "--validate", "--json"]) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["event"], event["file"]) for event in found] == [("invalid", file) for file in pair]
    assert cli.main(["no.json", "nor.json"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_node_that_fails_is_named_with_its_file(
    pair: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from run_graph.nodes import SaveImage

    def run(self: SaveImage, ctx: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(SaveImage, "run", run)
    assert cli.main([*pair, "--target", "other:save"]) == 1
    assert "elsewhere/other.json: node 'other:save' (SaveImage) failed: the disk is full" in (
        capsys.readouterr().err
    )


def test_validate_reports_each_file(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*pair, "--validate"]) == 0
    reports = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert reports == [f"{file}: valid, {STAGES} nodes lead to save" for file in pair]


@pytest.mark.parametrize("option", ["--draw=graph.svg", "--contact-sheet=sheet.png"])
def test_an_option_that_takes_one_workflow_refuses_several(
    pair: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*pair, option])
    assert caught.value.code == 2
    assert f"{option.split('=')[0]} takes one workflow, but 2 were given" in capsys.readouterr().err


def test_a_setting_applies_to_all_files_or_to_the_one_that_it_names(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [pair[0], "--set", "sample.steps=1", pair[1], "--set", "other:save.filename_prefix=second"]
    assert cli.main(arguments) == 0
    graphs = [graph_in(path) for path in sorted(capsys.readouterr().out.split())]
    assert [graph["sample"]["inputs"]["steps"] for graph in graphs] == [1, 1]
    assert [graph["save"]["inputs"]["filename_prefix"] for graph in graphs] == ["redux", "second"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--set=sampel.steps=1",
            "--set 'sampel.steps=1': no file has a node 'sampel'. Did you mean 'sample'?",
        ),
        ("--target=other:sav", "--target 'other:sav': no file has a node 'other:sav'"),
        ("--sweep=sampel.steps=1,2", "no file has a node 'sampel'"),
    ],
)
def test_an_option_that_fits_no_file_is_refused(
    pair: list[str], option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*pair, option]) == 2
    assert message in capsys.readouterr().err


def test_only_files_with_a_target_run(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = events(capsys, *pair, "--target", "other:prompt")
    assert named(found, "node_started") == ["other:flux", "other:prompt"]


def test_a_sweep_of_several_files_shares_what_it_can(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = events(capsys, *pair, "--sweep", "smaller.mode=low,high")
    sweeps = [event for event in found if event["event"] == "sweep"]
    assert [event["workflow"] for event in sweeps] == ["redux", "other"]
    assert sweeps[1]["variants"][0]["nodes"]["sample"] == "other:sample@mode-low"
    started = named(found, "node_started")
    assert sum("vision" in node for node in started) == 1
    assert sum("smaller" in node for node in started) == 2
    assert sum("sample" in node for node in started) == 4
    assert sorted(path.name for path in Path("output").iterdir()) == [
        f"redux_mode-{mode}_0000{number}_.png" for mode in ("high", "low") for number in (1, 2)
    ]
