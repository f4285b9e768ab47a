"""The cache as the command line uses it."""

import json
from pathlib import Path
from typing import Any

import pytest
from cache_samples import files

from run_graph.graph import Graph
from run_graph.runtime.cache.blob_store import VALUES
from run_graph.runtime.cli.main import main
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.engine.session import run as run_workflow
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, NodeProgress
from run_graph.runtime.files.inputs import digest
from run_graph.runtime.formats.source import read_source
from run_graph.runtime.images.png_text import read_text


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, events, and what was printed beside them."""
    code = main([*argv, "--json"])
    captured = capsys.readouterr()
    return code, [json.loads(line) for line in captured.out.splitlines()], captured.err


def ran(events: list[dict[str, Any]]) -> list[str]:
    return [event["node_id"] for event in events if event["event"] == "node_started"]


def paths(events: list[dict[str, Any]]) -> list[str]:
    return [event["result"]["path"] for event in events if event.get("result", {}).get("path")]


def pixels(path: str) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.tobytes()


def test_a_second_command_computes_nothing_and_writes_the_file_again(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first, _ = run(capsys, "redux.json")
    assert "sample" in ran(first)
    code, second, said = run(capsys, "redux.json")
    assert (code, ran(second), said) == (0, ["save"], "")
    assert [Path(path).name for path in paths(first) + paths(second)] == [
        "redux_00001_.png",
        "redux_00002_.png",
    ]
    assert pixels(paths(first)[0]) == pixels(paths(second)[0])
    first_run, second_run = (json.loads(read_text(Path(paths(e)[0]))["run_graph"]) for e in (first, second))
    assert second_run.pop("seconds") == {}  # no stage ran for it
    assert "sample" in first_run.pop("seconds")
    assert second_run == first_run


def test_only_what_depends_on_a_change_is_computed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "redux.json")
    _, events, _ = run(capsys, "redux.json", "--set", "sample.seed=5")
    assert {"sample", "image", "save"} <= set(ran(events))
    assert not {"vision", "prompt", "photo"} & set(ran(events))


def test_a_picture_saved_again_with_the_same_pixels_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    run(capsys, "redux.json")
    photo = project.parent / "images" / "fox.png"
    before = digest(photo)
    with Image.open(photo) as picture:
        picture.load()
        picture.save(photo, compress_level=0)
    assert digest(photo) != before
    _, events, _ = run(capsys, "redux.json")
    assert "photo" in ran(events)
    assert not {"vision", "sample"} & set(ran(events))


def test_without_the_cache_everything_is_computed_and_nothing_kept(
    project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(capsys, "redux.json")
    _, events, _ = run(capsys, "redux.json", "--no-cache")
    assert "sample" in ran(events)
    run(capsys, "redux.json", "--no-cache", "--cache-dir", str(tmp_path / "own"))
    assert not (tmp_path / "own").exists()


def test_info_and_clear(project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = ["--cache-dir", str(tmp_path / "own")]
    run(capsys, "redux.json", *own)
    capsys.readouterr()
    assert main(["--cache-info", *own]) == 0
    assert f"{tmp_path / 'own'}: " in (text := capsys.readouterr().out)
    assert " results, " in text
    assert " of the disk, of at most " in text
    _, [usage], _ = run(capsys, "--cache-info", *own)
    each_once = {status.st_ino: status for status in (path.stat() for path in files(tmp_path / "own"))}
    assert usage["nbytes"] == sum(status.st_size for status in each_once.values())
    assert usage["disk_bytes"] == sum(status.st_blocks * 512 for status in each_once.values())
    _, [cleared], _ = run(capsys, "--cache-clear", *own)
    assert (cleared["results"], cleared["cleared"]) == (usage["results"], True)
    assert files(tmp_path / "own") == []
    _, events, _ = run(capsys, "redux.json", *own)
    assert "sample" in ran(events)


def test_a_folder_of_other_things_is_neither_used_nor_cleared(
    project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years")
    for argv in (["redux.json"], ["--cache-clear"], ["--cache-info"]):
        code, events, said = run(capsys, *argv, "--cache-dir", str(tmp_path / "precious"))
        assert code == 2
        assert [event["event"] for event in events] == ["error"]
        assert "holds other things" in said
        assert said.startswith("run-graph: --cache-dir: ")
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years"


def test_a_damaged_file_costs_a_line_and_a_computation(
    project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = ["--cache-dir", str(tmp_path / "own")]
    _, first, _ = run(capsys, "redux.json", *own)
    for path in files(tmp_path / "own" / VALUES):
        path.write_bytes(path.read_bytes()[:-1])
    code, events, said = run(capsys, "redux.json", *own)
    assert code == 0
    assert "sample" in ran(events)
    assert all(line.startswith("run-graph: warning: result cache: ") for line in said.splitlines())
    assert pixels(paths(first)[0]) == pixels(paths(events)[0])
    assert run(capsys, "redux.json", *own)[2] == ""


def test_an_interrupted_sampling_resumes_to_the_same_picture(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache_samples import disk

    monkeypatch.setattr("run_graph.runtime.cache.snapshots._SHARE", 1e9)
    source = read_source(project)
    workflow = source.workflow.with_input("sample", "steps", 5)
    environment = RunEnvironment(source.folders, tmp_path / "out")
    token, steps = CancelToken(), list[int]()

    def listen(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.node_id == "sample":
            steps.append(event.value)
            if steps == [0, 1, 2, 3]:
                token.cancel()

    def latent(session: Session, **options: Any) -> Any:
        done = session.run(workflow, targets=["sample"], environment=environment, **options)
        return done.outputs("sample").latent  # type: ignore[attr-defined]

    with pytest.raises(Cancelled):
        latent(Session(cache=disk(tmp_path / "cache")[0]), on_event=listen, token=token)
    steps.clear()
    resumed = latent(Session(cache=disk(tmp_path / "cache")[0]), on_event=listen)
    assert steps == [3, 4, 5]
    assert not files(tmp_path / "cache" / "snapshots")
    whole = latent(Session())
    assert bytes(memoryview(resumed.samples)) == bytes(memoryview(whole.samples))
    assert resumed.generation == whole.generation


def test_pictures_of_an_interrupted_run_are_not_written_twice(
    project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ["redux.json", "--sweep", "sample.seed=1..3"]
    pictures = []

    def stop_at_the_second(event: dict[str, Any]) -> None:
        if event["event"] == "node_finished" and event["class_type"] == "SaveImage":
            pictures.append(event["result"]["path"])
            if len(pictures) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(
            "run_graph.runtime.cli.progress.JsonLines.__call__", lambda _, e: stop_at_the_second(e.to_json())
        )
        assert main([*sweep, "--json"]) == 130
    assert run(capsys, *sweep)[0] == 0
    assert sorted(path.name for path in Path("output").iterdir()) == [
        f"redux_seed-{seed}_00001_.png" for seed in (1, 2, 3)
    ]
    _, again, _ = run(capsys, *sweep)
    assert len(list(Path("output").iterdir())) == 6
    assert len(paths(again)) == 3


def test_a_graph_in_python_can_do_without(project: Path) -> None:
    g = Graph.load(project)
    events: list[Event] = []
    options: dict[str, Any] = {"input_directories": [project.parent], "cache": False}
    for _ in range(2):
        events.clear()
        run_workflow(g.workflow, on_event=events.append, output_directory=project.parent / "out", **options)
        assert "sample" in [
            event.to_json().get("node_id") for event in events if event.kind == "node_started"
        ]
