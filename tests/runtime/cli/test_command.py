"""The command: what it prints, where, its exit codes, and what it leaves behind when it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import command, started
from small import edit

import run_graph
from run_graph.runtime.cli import main as cli

HEAVY = ("mlx", "mflux", "torch", "transformers", "huggingface_hub")


def modules_after(*commands: list[str], cwd: Path) -> set[str]:
    """The top-level modules that a process has imported after running these commands."""
    code = (
        "import json, sys\n"
        "from run_graph.runtime.cli.main import main\n"
        "for argv in json.loads(sys.argv[1]):\n"
        "    try: code = main(argv)\n"
        "    except SystemExit as error: code = error.code\n"
        "    assert code == 0, code\n"
        "print('MODULES', *{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("MODULES", 1)[1].split())


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# -- starting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_neither_model_code_nor_pydantic(project: Path, option: str) -> None:
    loaded = modules_after([option], cwd=project.parent)
    assert not loaded & {*HEAVY, "pydantic", "networkx", "numpy", "PIL", "rich", "dataclasses"}


def test_questions_about_a_workflow_load_no_model_code(project: Path) -> None:
    name = str(project)
    loaded = modules_after(
        [name, "--validate"],
        [name, "--draw", "a.svg"],
        [name, "--draw", "a.mmd"],
        [name, "--draw", "a.txt"],
        [name, "--draw", "a.png"],
        ["--list-nodes"],
        ["--describe", "FluxSample"],
        ["--schema"],
        cwd=project.parent,
    )
    assert not loaded & set(HEAVY)
    assert all((project.parent / f"a.{suffix}").stat().st_size for suffix in ("svg", "mmd", "txt", "png"))


def test_without_a_file_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "name a workflow file" in capsys.readouterr().err


def test_the_version_is_the_same_however_the_command_is_started() -> None:
    def printed(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    expected = f"run-graph {run_graph.__version__}\n"
    assert printed(sys.executable, "-m", "run_graph", "--version") == expected
    assert printed(*command(), "--version") == expected


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("run-graph 0.")


# -- questions --------------------------------------------------------------------------------------


def test_validate_says_what_would_run_and_runs_nothing(
    project: Path, small_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--validate"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "redux.json: valid, 11 nodes lead to save",
        "  read images/fox.png (photo.image)",
        f"  use {small_model} (redux.model)",
        "  write into output (save)",
    ]
    assert not Path("output").exists()


def test_validate_reports_all_faults_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(nodes: dict[str, Any]) -> None:
        nodes["sample"]["inputs"]["steps"] = 0
        nodes["smaller"]["inputs"]["mode"] = "medum"
        nodes["photo"]["inputs"]["image"] = "nowhere.png"

    edit(project, spoil)
    assert cli.main(["redux.json", "--validate"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("run-graph: redux.json: 3 faults\n")
    for part in ("node 'sample' (FluxSample), input 'steps'", "Did you mean 'medium'?", "'nowhere.png'"):
        assert part in captured.err


def test_validate_as_json_is_one_line_with_the_faults(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--validate", "--json"]) == 0
    [event] = lines(capsys.readouterr().out)
    assert (event["event"], event["nodes"], event["targets"]) == ("valid", 11, ["save"])
    assert {"kind": "write", "target": "output", "input": None, "size": None, "node_id": "save"} in event[
        "effects"
    ]
    assert cli.main(["redux.json", "--validate", "--json", "--set", "sample.steps=0"]) == 2
    [line] = lines(capsys.readouterr().out)
    assert (line["event"], line["file"]) == ("invalid", "redux.json")
    [fault] = line["faults"]
    assert (fault["code"], fault["node_id"], fault["input"]) == ("value_smaller_than_min", "sample", "steps")


def test_all_node_classes_are_listed_and_each_can_be_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list-nodes"]) == 0
    listing = capsys.readouterr().out
    assert cli.main(["--describe", "PatchDownsample"]) == 0
    description = capsys.readouterr().out
    assert "PatchDownsample" in listing
    assert "SaveImage" in listing
    for part in ("tokens", "interpolation", "nearest-exact", "medium", "REDUX_TOKENS"):
        assert part in description


def test_an_unknown_class_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--describe", "fluxsampel"]) == 2
    assert (
        "--describe 'fluxsampel': there is no node class of this name. Did you mean 'FluxSample'?"
        in capsys.readouterr().err
    )


def test_the_schema_is_json_and_knows_every_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--schema"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)
    assert all(f'"{name}"' in text for name in ("LoadImage", "FluxSample", "SaveImage"))


def test_drawing_replaces_an_older_drawing_and_shows_settings(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.txt").write_text("old")
    assert cli.main(["redux.json", "--draw", "a.txt", "--set", "sample.seed=424242"]) == 0
    assert capsys.readouterr().out == "a.txt\n"
    assert "424242" in Path("a.txt").read_text(encoding="utf-8")


def test_a_drawing_as_json_is_a_line_of_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--draw", "a.txt", "--json"]) == 0
    assert lines(capsys.readouterr().out) == [{"event": "drawing", "path": "a.txt"}]


def test_a_draft_with_faults_can_be_drawn(project: Path) -> None:
    edit(project, lambda nodes: nodes["vision"]["inputs"].pop("image"))
    assert cli.main(["redux.json", "--draw", "a.svg"]) == 0
    assert Path("a.svg").read_text(encoding="utf-8").lstrip().startswith("<")


# -- running ----------------------------------------------------------------------------------------


def test_a_run_prints_the_path_of_the_picture_and_a_line_for_each_stage(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json"]) == 0
    captured = capfd.readouterr()
    assert captured.out == f"output{os.sep}redux_00001_.png\n"
    assert len(captured.err.splitlines()) == 11
    assert pixels("output/redux_00001_.png").shape == (32, 32, 3)


def test_quiet_prints_only_paths(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--quiet", "--output", "elsewhere", "--contact-sheet", "sheet.png"]) == 0
    assert capfd.readouterr() == (f"elsewhere{os.sep}redux_00001_.png\nsheet.png\n", "")
    assert [path.name for path in Path("elsewhere").iterdir()] == ["redux_00001_.png"]


def test_json_prints_every_event_as_a_line_and_the_last_is_run_finished(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--json"]) == 0
    captured = capfd.readouterr()
    events = lines(captured.out)
    assert captured.err == ""
    assert events[0] == {"event": "run_started", "nodes": 11, "targets": ["save"]}
    assert (events[-1]["event"], events[-1]["status"]) == ("run_finished", "done")
    started = [event["node_id"] for event in events if event["event"] == "node_started"]
    finished = [event["node_id"] for event in events if event["event"] == "node_finished"]
    assert started == finished
    assert len(set(started)) == 11
    steps = [event["value"] for event in events if event["event"] == "node_progress"]
    assert steps == [0, 1, 2]
    [saved] = [
        event["result"] for event in events if event.get("class_type") == "SaveImage" and "result" in event
    ]
    path = f"output{os.sep}redux_00001_.png"
    assert saved == {"path": path, "paths": [path]}
    assert [event["path"] for event in events if event["event"] == "file_saved"] == [path]


def test_a_target_runs_with_its_ancestors_alone(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--target", "smaller", "--target", "photo", "--json"]) == 0
    started = {e["node_id"] for e in lines(capfd.readouterr().out) if e["event"] == "node_started"}
    assert started == {"photo", "redux", "vision", "tokens", "smaller"}
    assert not Path("output").exists()


def test_a_target_that_is_no_file_is_printed_with_its_shape(
    project: Path, capsys: pytest.CaptureFixture[str], small_model: str
) -> None:
    assert cli.main(["redux.json", "--target", "smaller", "--target", "flux"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "smaller.tokens: ReduxTokens 1 x 81 x 128",
        f"flux.flux: Flux of {small_model!r}",
        f"flux.text_encoders: TextEncoders of {small_model!r}",
        f"flux.vae: Vae of {small_model!r}",
    ]


def test_the_shapes_of_a_target_are_in_the_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--target", "prompt", "--json"]) == 0
    assert lines(capsys.readouterr().out)[-1] == {
        "event": "value",
        "node_id": "prompt",
        "output": "conditioning",
        "type": "CONDITIONING",
        "arrays": {
            "entries.0.tokens": {"shape": [1, 16, 128], "dtype": "float32"},
            "entries.0.pooled": {"shape": [1, 64], "dtype": "float32"},
        },
    }


def test_a_random_seed_is_told_and_recorded(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--set", "seed=random"]) == 0
    captured = capsys.readouterr()
    with Image.open(captured.out.strip()) as picture:
        seed = json.loads(picture.info["run_graph"])["seed"]
        assert json.loads(picture.info["prompt"])["sample"]["inputs"]["seed"] == seed
    assert f"run-graph: redux.json: sample.seed = {seed}, chosen at random\n" in captured.err
    assert cli.main(["redux.json", "--set", "seed=random", "--json"]) == 0
    first, *events = lines(capsys.readouterr().out)
    assert (first["event"], first["file"], list(first["values"])) == ("chosen", "redux.json", ["sample.seed"])
    assert first["values"]["sample.seed"] != seed
    assert events[0]["event"] == "run_started"


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="there is no /proc, where not even root may write"
)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "/proc/nope"], "cannot write into /proc/nope: "),
        (["-o", "/proc"], "cannot write into /proc: "),
        (["--contact-sheet", "/proc/nope/sheet.png"], "--contact-sheet: cannot write into /proc/nope: "),
        (["--contact-sheet", "folder.png"], "--contact-sheet folder.png is a folder; name a file in it"),
        (["--draw", "folder.png"], "--draw folder.png is a folder; name a file in it"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_runs(
    options: list[str], message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder.png").mkdir()
    assert cli.main(["redux.json", "--json", *options]) == 2
    captured = capsys.readouterr()
    assert "run_started" not in captured.out
    assert message in captured.err
    assert not Path("output").exists()


def test_settings_change_the_run(project: Path) -> None:
    settings = ["--set", "sample.seed=5", "--set", "sample.width=48", "--set", "save.filename_prefix=x/y"]
    assert cli.main(["redux.json", "--quiet", *settings]) == 0
    image = Image.open("output/x/y_00001_.png")
    assert image.size == (48, 32)
    assert json.loads(image.info["run_graph"])["seed"] == 5


@pytest.mark.parametrize("prefix", ["fox", "a/b/fox"])
def test_a_picture_runs_again_and_gives_the_same_pixels(project: Path, prefix: str) -> None:
    assert cli.main(["redux.json", "--quiet", "--set", f"save.filename_prefix={prefix}"]) == 0
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    first = project.parent / "output" / f"{prefix}_00001_.png"
    allow = ["--allow-read", str(project.parent)]
    assert cli.main([str(first), "--quiet", *allow]) == 0
    again = Path("output") / f"{prefix}_00001_.png"
    np.testing.assert_array_equal(pixels(again), pixels(first))
    assert cli.main([str(first), "--quiet", *allow, "--set", "sample.seed=99"]) == 0
    assert not np.array_equal(pixels(Path("output") / f"{prefix}_00002_.png"), pixels(first))


def test_a_picture_of_a_moved_project_finds_its_inputs(project: Path, tmp_path_factory: Any) -> None:
    assert cli.main(["redux.json", "--quiet"]) == 0
    moved = tmp_path_factory.mktemp("moved") / "project"
    os.chdir("/")
    project.parent.rename(moved)
    picture = moved / "output" / "redux_00001_.png"
    assert cli.main([str(picture), "--quiet", "--output", str(moved / "again")]) == 0
    np.testing.assert_array_equal(pixels(moved / "again" / "redux_00001_.png"), pixels(picture))


def test_a_failing_node_is_named_with_its_inputs_and_the_cause(
    project: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from run_graph.runtime.networks import siglip

    def broken(*_: object) -> None:
        raise ValueError("the tower is crooked")

    monkeypatch.setattr(siglip, "encode", broken)
    assert cli.main(["redux.json", "--json"]) == 1
    captured = capfd.readouterr()
    assert captured.err.splitlines() == [
        "run-graph: redux.json: node 'vision' (SiglipEncode) failed: the tower is crooked",
        f"  siglip = Siglip of {small_model!r}",
        "  image = Image 1 x 96 x 96 x 3",
        '  fit = "crop"',
        '  resample = "bicubic"',
    ]
    *_, failed, finished = lines(captured.out)
    assert (failed["event"], failed["node_id"], failed["message"]) == (
        "node_failed",
        "vision",
        "the tower is crooked",
    )
    assert (finished["event"], finished["status"]) == ("run_finished", "failed")


@pytest.mark.parametrize("option", ["--traceback", "--verbose", "-v"])
def test_the_traceback_of_a_failing_node_is_shown_on_request(
    option: str, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from run_graph.runtime.networks import siglip

    monkeypatch.setattr("run_graph.runtime.cli.command.log_details", lambda: None)
    monkeypatch.setattr(siglip, "encode", lambda *_: 1 / 0)
    assert cli.main(["redux.json", option]) == 1
    message = capfd.readouterr().err
    assert "\nTraceback" in message
    assert "ZeroDivisionError: division by zero" in message
    assert "run-graph: redux.json: node 'vision'" in message


# -- stopping ---------------------------------------------------------------------------------------


def test_ctrl_c_while_sampling_stops_within_a_step_and_leaves_nothing(project: Path) -> None:
    process = started(project.parent, "redux.json", "--json", "--set", "sample.steps=10000")
    assert process.stdout is not None
    events = [json.loads(next(line for line in process.stdout if json.loads(line).get("value") == 3))]
    process.send_signal(signal.SIGINT)
    before = time.monotonic()
    printed, _ = process.communicate(timeout=20)
    assert time.monotonic() - before < 5
    events += lines(printed)
    assert (events[-1]["event"], events[-1]["status"]) == ("run_finished", "interrupted")
    assert max(event.get("value", 0) for event in events) < 500
    assert not (project.parent / "output").exists()
    assert sorted(path.name for path in project.parent.iterdir()) == ["images", "redux.json"]


@pytest.mark.parametrize(
    "place",
    [
        "node_options.installed_nodes",
        "files.read_source",
        "files.apply_settings",
        "command.check",
    ],
)
def test_ctrl_c_at_any_other_time_gives_the_same_message(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"run_graph.runtime.cli.{place}", interrupted)
    assert cli.main(["redux.json", "--validate"]) == 130
    assert capsys.readouterr() == ("", "run-graph: interrupted\n")


def test_ctrl_c_while_importing_gives_the_same_message(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "run_graph.runtime.cli.command":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "run_graph.runtime.cli.command")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert cli.main(["redux.json"]) == 130
    assert capsys.readouterr() == ("", "run-graph: interrupted\n")


def test_a_reader_that_goes_away_does_not_stop_the_run(project: Path) -> None:
    process = started(project.parent, "redux.json", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    assert (project.parent / "output" / "redux_00001_.png").exists()
