"""``run-graph --sweep``, end to end on a small model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small import edit

from run_graph.graph import installed_nodes, load_workflow
from run_graph.runtime.cli import main as cli
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import Event, NodeStarted
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.sweep.expansion import Axis, expand

MODES = ("low", "high")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def graph_in(path: str | Path) -> dict[str, Any]:
    """The workflow in a picture, without its file name prefix."""
    graph = json.loads(read_text(Path(path))["prompt"])
    del graph["save"]["inputs"]["filename_prefix"]
    return graph


def run(*arguments: str) -> int:
    return cli.main(["redux.json", *arguments])


# -- one run for all --------------------------------------------------------------------------------


def test_shared_stages_run_once_and_each_model_is_loaded_once(project: Path) -> None:
    workflow = load_workflow(project)
    registry = installed_nodes()
    sweep = expand(workflow, [Axis("smaller", "mode", MODES), Axis("sample", "seed", (1, 2, 3))], registry)
    store, events = ModelStore(), list[Event]()
    Session(registry, services=Services(store)).run(
        sweep.workflow,
        environment=RunEnvironment([project.parent], project.parent / "out"),
        on_event=events.append,
        originals=sweep.originals,
    )
    ran = [sweep.originals[event.node_id] for event in events if isinstance(event, NodeStarted)]
    counts = {node_id: ran.count(node_id) for node_id in workflow.nodes}
    assert counts == {
        **dict.fromkeys(["photo", "redux", "flux", "vision", "tokens", "prompt"], 1),
        **dict.fromkeys(["smaller", "both"], 2),
        **dict.fromkeys(["sample", "image", "save"], 6),
    }
    assert sorted(key.component for key in store.loads) == [
        "image_embedder",
        "image_encoder",
        "text_encoder",
        "text_encoder_2",
        "transformer",
        "vae",
    ]
    assert set(store.loads.values()) == {1}


def test_each_picture_is_the_one_that_set_makes_and_contains_its_graph(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--sweep", "smaller.mode=low,high", "--sweep", "sample.seed=1..2", "--output", "swept") == 0
    paths = sorted(capsys.readouterr().out.splitlines())  # printed as they were finished
    assert [Path(path).name for path in paths] == [
        "redux_mode-high_seed-1_00001_.png",
        "redux_mode-high_seed-2_00001_.png",
        "redux_mode-low_seed-1_00001_.png",
        "redux_mode-low_seed-2_00001_.png",
    ]
    run("--set", "smaller.mode=high", "--set", "sample.seed=2", "--output", "single", "--no-cache")
    alone = capsys.readouterr().out.strip()
    assert (pixels(paths[1]) == pixels(alone)).all()
    assert (pixels(paths[1]) != pixels(paths[0])).any()
    assert graph_in(paths[1]) == graph_in(alone)
    recorded, recorded_alone = (json.loads(read_text(Path(path))["run_graph"]) for path in (paths[1], alone))
    assert recorded["seed"] == recorded_alone["seed"] == 2
    assert recorded["redux_mode"] == recorded_alone["redux_mode"] == "high"
    assert recorded["seconds"].keys() == recorded_alone["seconds"].keys()


def test_a_picture_of_a_sweep_can_be_run_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--sweep", "sample.seed=1,2") == 0
    second = sorted(capsys.readouterr().out.splitlines())[1]
    assert cli.main([second, "--output", "again"]) == 0
    [again] = capsys.readouterr().out.splitlines()
    assert Path(again).name == "redux_00001_.png"
    assert (pixels(again) == pixels(second)).all()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--set", "mode=high"], "redux_00001_.png"),
        (["--sweep", "mode=high"], "redux_mode-high_00001_.png"),
        (["--set", "filename_prefix=anna"], "anna_00001_.png"),
    ],
)
def test_a_picture_of_a_sweep_does_not_pass_its_old_values_on_in_a_name(
    options: list[str], name: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--sweep", "mode=low", "--sweep", "image=images/fox.png") == 0
    [swept] = capsys.readouterr().out.splitlines()
    assert Path(swept).name == "redux_mode-low_image-fox_00001_.png"
    assert cli.main([swept, "--output", "again", *options]) == 0
    [again] = capsys.readouterr().out.splitlines()
    assert Path(again).name == name


def test_pictures_in_a_folder_and_prompts_in_a_file_are_swept(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.parent / "prompts.txt").write_text("a cat, asleep\n\na dog\n")
    arguments = ["--sweep", "image=images/[fs]*.png", "--sweep", "prompt=@prompts.txt"]
    assert run(*arguments, "--validate") == 0
    assert "save@image-sunset_prompt-a-dog" in capsys.readouterr().out
    assert run(*arguments, "--set", "steps=1") == 0
    assert {Path(path).name for path in capsys.readouterr().out.splitlines()} == {
        f"redux_image-{picture}_prompt-{prompt}_00001_.png"
        for picture in ("fox", "strawberry", "sunset")
        for prompt in ("a-cat-asleep", "a-dog")
    }


def test_zip_pairs_the_values(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--zip", "--sweep", "smaller.mode=low,high", "--sweep", "sample.seed=7,8") == 0
    names = [Path(path).name for path in capsys.readouterr().out.splitlines()]
    assert names == ["redux_mode-low_seed-7_00001_.png", "redux_mode-high_seed-8_00001_.png"]


def test_prompts_with_commas_are_given_as_a_json_list(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--sweep", 'prompt.prompt=["a cat, asleep", ""]') == 0
    paths = capsys.readouterr().out.splitlines()
    assert [Path(path).name for path in paths] == [
        "redux_prompt-a-cat-asleep_00001_.png",
        "redux_prompt-empty_00001_.png",
    ]
    assert [json.loads(read_text(Path(path))["run_graph"])["prompt"] for path in paths] == [
        "a cat, asleep",
        "",
    ]


# -- with the other options -------------------------------------------------------------------------


def test_json_first_lists_the_nodes_of_each_variant(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", "--sweep", "sample.seed=1,2", "--contact-sheet", "sheet.png") == 0
    first, *events, last = lines(capsys.readouterr().out)
    assert first["event"] == "sweep"
    assert first["variants"][1] == {
        "label": "seed-2",
        "settings": {"sample.seed": "2"},
        "nodes": {name: f"{name}@seed-2" for name in ("sample", "image", "save")},
    }
    finished = {event["node_id"] for event in events if event["event"] == "node_finished"}
    assert set(first["variants"][1]["nodes"].values()) <= finished
    assert last == {"event": "contact_sheet", "path": "sheet.png"}


def test_validate_counts_all_variants_and_runs_none(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--validate", "--sweep", "sample.seed=1..3", "--contact-sheet", "sheet.png") == 0
    assert "valid, 17 nodes lead to save@seed-1, save@seed-2, save@seed-3" in capsys.readouterr().out
    assert not (project.parent / "output").exists()
    assert not (project.parent / "sheet.png").exists()


def test_draw_shows_all_variants(project: Path) -> None:
    assert run("--draw", "graph.txt", "--sweep", "sample.seed=1,2") == 0
    text = (project.parent / "graph.txt").read_text()
    assert "sample@seed-1" in text
    assert "sample@seed-2" in text


def test_target_means_all_its_variants(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", "--target", "smaller", "--sweep", "smaller.mode=low,high") == 0
    started = next(line for line in lines(capsys.readouterr().out) if line["event"] == "run_started")
    assert started["targets"] == ["smaller@mode-low", "smaller@mode-high"]


def test_settings_apply_before_the_sweep(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--set", "save.filename_prefix=anna", "--sweep", "sample.seed=1") == 0
    assert Path(capsys.readouterr().out.strip()).name == "anna_seed-1_00001_.png"


# -- the contact sheet ------------------------------------------------------------------------------


def test_the_contact_sheet_replaces_an_older_one_and_can_be_run_again(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = project.parent / "sheet.png"
    assert run("--sweep", "sample.seed=7,8", "--contact-sheet", "sheet.png") == 0
    capsys.readouterr()
    arguments = ["--sweep", "smaller.mode=low,high", "--sweep", "sample.seed=1,2"]
    assert run(*arguments, "--contact-sheet", "sheet.png") == 0
    *paths, last = capsys.readouterr().out.splitlines()
    assert last == "sheet.png"
    paths.sort()
    colours = {tuple(pixel) for pixel in pixels(sheet).reshape(-1, 3)}
    for path in paths:
        assert {tuple(pixel) for pixel in pixels(path).reshape(-1, 3)} <= colours
    assert cli.main([str(sheet), "--output", "again"]) == 0
    again = sorted(capsys.readouterr().out.splitlines())
    assert [Path(path).name for path in again] == [Path(path).name for path in paths]
    assert all((pixels(one) == pixels(other)).all() for one, other in zip(paths, again, strict=True))


def test_a_contact_sheet_needs_no_sweep(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--contact-sheet", "sheet.png") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "sheet.png"


def test_the_sheet_never_overwrites_the_workflow(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--set", "sample.seed=5") == 0
    picture = capsys.readouterr().out.strip()
    before = Path(picture).read_bytes()
    assert cli.main([picture, "--contact-sheet", picture]) == 2
    assert "would overwrite the workflow itself" in capsys.readouterr().err
    assert Path(picture).read_bytes() == before


def test_a_target_without_a_picture_is_refused_before_anything_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", "--target", "prompt", "--contact-sheet", "sheet.png") == 2
    out = capsys.readouterr()
    assert "no picture to put on a contact sheet" in out.err
    assert "run_started" not in out.out


# -- refusals ---------------------------------------------------------------------------------------


def test_a_fault_names_the_file_and_the_setting(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--sweep", "smaller.mode=low,hihg") == 2
    message = capsys.readouterr().err
    assert (
        "redux.json: node 'smaller' (PatchDownsample), input 'mode': --sweep smaller.mode=hihg: " in message
    )
    assert "Did you mean 'high'?" in message
    assert not (project.parent / "output").exists()


def test_a_fault_of_the_workflow_is_reported_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(project, lambda nodes: nodes["sample"]["inputs"].update(steps=0))
    assert run("--sweep", "sample.seed=1..4") == 2
    assert capsys.readouterr().err.count("too small") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--zip", "--sweep", "sample.seed=1"], "give at least two --sweep options"),
        (["--contact-sheet", "sheet.jpg"], "--contact-sheet writes .png, not 'sheet.jpg'"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    arguments: list[str], words: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_reported_and_the_pictures_stay(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SaveError("cannot write sheet.png: no room")

    monkeypatch.setattr("run_graph.runtime.cli.contact_sheet_option.write_atomically", refuse)
    assert run("--contact-sheet", "sheet.png") == 2
    out = capsys.readouterr()
    assert "cannot write sheet.png" in out.err
    assert Path(out.out.strip()).exists()
