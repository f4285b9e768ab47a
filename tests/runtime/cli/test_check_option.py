"""``--check``: a verdict on each file of a list or of folders, and what all of them lack."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from small import shipped

from run_graph.runtime.cli import main as cli

TINY = {"class_type": "LoadFlux", "inputs": {"model": "tiny"}}
LOAD = {"class_type": "LoadImage", "inputs": {"image": "fox.png"}}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["load", 0], "filename_prefix": "a"}}
GOOD = {"load": LOAD, "save": SAVE}
GREY = {"class_type": "Grey+", "inputs": {"image": ["load", 0]}}
STRAY = {**GOOD, "stray": {"class_type": "Image Comparer (rgthree)", "inputs": {"a": ["load", 0]}}}
LACKING = {
    "load": LOAD,
    "x": GREY,
    "y": {**GREY, "_meta": {"cnr_id": "other-pack"}},
    "z": {"class_type": "Nonsense", "inputs": {"a": ["x", 0], "b": ["y", 0]}},
    "save": {"class_type": "SaveImage", "inputs": {"images": ["z", 0], "filename_prefix": "a"}},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("fox.png")
    return tmp_path


def write(name: str, document: Any) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(document if isinstance(document, str) else json.dumps(document))
    return name


def checked(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, dict[str, Any]], dict[str, Any]]:
    """The exit code, the verdicts by file, and the summary."""
    code = cli.main([*arguments, "--check", "--json"])
    *events, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["event"] for event in events} <= {"checked"}
    assert summary["event"] == "check_summary"
    return code, {event["file"]: event for event in events}, summary


def test_what_can_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([write("good.json", GOOD), "--check"]) == 0
    assert capsys.readouterr().out == ("good.json: runs\n1 file: 1 run, 0 run with warnings, 0 cannot run\n")
    assert not Path("output").exists()


def test_nodes_that_no_output_needs_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    code, verdicts, _ = checked(capsys, write("stray.json", STRAY))
    assert code == 0
    assert verdicts["stray.json"]["verdict"] == "runs with warnings"
    (warning,) = verdicts["stray.json"]["warnings"]
    assert "Image Comparer (rgthree) (1)" in warning


def test_missing_classes_have_their_number_and_package(capsys: pytest.CaptureFixture[str]) -> None:
    code, verdicts, _ = checked(capsys, write("lacking.json", LACKING))
    assert code == 2
    missing = verdicts["lacking.json"]["missing_classes"]
    found = [(each["class_type"], each["nodes"], each["pack"]) for each in missing]
    # What the file says goes before the table.
    assert found == [("Grey+", 2, "other-pack"), ("Nonsense", 1, None)]


def test_the_text_says_it_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([write("lacking.json", LACKING), "--check"]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "lacking.json: cannot run",
        "  missing class 'Grey+' (2 nodes), from other-pack",
        "  missing class 'Nonsense' (1 node), from a package that is not known here",
        "1 file: 0 run, 0 run with warnings, 1 cannot run",
        "missing classes, most frequent first:",
        "  Grey+: 1 file, 2 nodes, other-pack",
        "  Nonsense: 1 file, 1 node",
    ]


@pytest.mark.parametrize(
    ("changes", "kind", "part"),
    [
        ({"load": {"class_type": "LoadImage", "inputs": {"image": "no.png"}}}, "picture", "no file 'no.png'"),
        ({"m": {"class_type": "LoadFlux", "inputs": {"model": "flux-7"}}}, "model", "flux-7"),
        ({"save": {**SAVE, "inputs": {**SAVE["inputs"], "format": "gif"}}}, "option", "gif"),
        ({"save": {**SAVE, "inputs": {"images": ["load", 9]}}}, "option", "9"),
    ],
)
def test_each_reason_has_its_kind(
    changes: dict[str, Any], kind: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    document: dict[str, Any] = {**GOOD, **changes}
    if "m" in changes:
        text = {"class_type": "TextEncode", "inputs": {"text_encoders": ["m", 1], "prompt": ""}}
        sample = {"class_type": "FluxSample", "inputs": {"flux": ["m", 0], "conditioning": ["t", 0]}}
        decode = {"class_type": "DecodeLatent", "inputs": {"vae": ["m", 2], "latent": ["s", 0]}}
        document |= {"t": text, "s": sample, "load": decode}
    code, verdicts, _ = checked(capsys, write("a.json", document))
    (reason,) = verdicts["a.json"]["reasons"]
    assert (code, reason["kind"]) == (2, kind)
    assert part in json.dumps(reason)


def test_a_model_that_would_be_downloaded_is_a_warning_and_says_where_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "empty"))
    shutil.copytree(Path(__file__).parents[3] / "workflows" / "images", "images")
    workflow = shipped("text_to_image")
    (loader,) = [name for name, spec in workflow.nodes.items() if spec.class_type == "LoadFlux"]
    file = write("a.json", workflow.with_input(loader, "model", "schnell").dumps())
    code, verdicts, _ = checked(capsys, file)
    assert (code, verdicts[file]["verdict"]) == (0, "runs with warnings")
    assert "black-forest-labs/FLUX.1-schnell is not on this machine" in verdicts[file]["warnings"][0]
    code, verdicts, _ = checked(capsys, file, "--offline")
    assert (code, verdicts[file]["reasons"][0]["kind"]) == (2, "model")
    code, verdicts, _ = checked(capsys, file, "--model", "tiny", "--offline")
    assert (code, verdicts[file]["warnings"]) == (0, [f"--model tiny: replaced {loader}.model"])


def test_a_folder_is_searched_and_broken_files_stop_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write("all/good.json", GOOD)
    write("all/deep/stray.json", STRAY)
    write("all/broken.json", '{"a": ')
    write("all/nested.json", "[" * 100_000)
    write("all/notes.txt", "not searched for")
    Path("all/damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Path("all/binary.json").write_bytes(bytes(range(256)))
    shutil.copy("fox.png", "all/fox.png")
    Path("all/gone.json").symlink_to("nowhere.json")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("prompt", json.dumps(GOOD))
    Image.new("RGB", (8, 8)).save("all/picture.png", pnginfo=chunks)
    code, verdicts, summary = checked(capsys, "all", "nothing.json")
    assert code == 2
    assert {Path(name).name: each["verdict"] for name, each in verdicts.items()} == {
        "good.json": "runs",
        "picture.png": "runs",
        "stray.json": "runs with warnings",
        "broken.json": "cannot run",
        "nested.json": "cannot run",
        "damaged.png": "cannot run",
        "binary.json": "cannot run",
        "gone.json": "cannot run",
        "nothing.json": "cannot run",
    }
    assert summary["without_workflow"] == 1
    assert summary["verdicts"] == {"runs": 2, "runs with warnings": 1, "cannot run": 6}


def test_the_summary_lists_missing_classes_by_the_files_that_need_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = {**GOOD, "save": {"class_type": "SaveImage", "inputs": {"images": ["z", 0]}}, "z": {**GREY}}
    write("all/1.json", LACKING)
    write("all/2.json", {**other, "z": {"class_type": "Nonsense", "inputs": {}}})
    write("all/3.json", GOOD)
    _, _, summary = checked(capsys, "all")
    assert summary["missing_classes"] == [
        {"class_type": "Nonsense", "files": 2, "nodes": 2, "pack": None},
        {"class_type": "Grey+", "files": 1, "nodes": 2, "pack": "other-pack"},
    ]


def test_a_picture_that_is_named_and_carries_no_workflow_cannot_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, verdicts, _ = checked(capsys, "fox.png")
    assert (code, verdicts["fox.png"]["reasons"][0]["code"]) == (2, "no_workflow")


def test_many_files_are_checked_quickly(capsys: pytest.CaptureFixture[str]) -> None:
    text = shipped("text_to_image").dumps()
    for number in range(300):
        write(f"all/{number}.json", text)
    started = time.perf_counter()
    code, _, summary = checked(capsys, "all")
    assert time.perf_counter() - started < 15
    assert (code, summary["verdicts"]) == (0, {"runs": 300})


@pytest.mark.parametrize("option", [["--set", "load.image=a.png"], ["--target", "save"]])
def test_options_that_change_nodes_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([write("a.json", GOOD), "--check", *option])
    assert stopped.value.code == 2
    assert "--check is about files as they are" in capsys.readouterr().err


class TestLeftOut:
    """A run tells which nodes it leaves out because their classes are missing."""

    def test_it_runs_and_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([write("stray.json", STRAY), "--json"]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        (warning,) = [event for event in events if event["event"] == "node_warning"]
        assert warning["node_id"] == "stray"
        assert "left out because no output needs it" in warning["message"]
        assert Path("output/a_00001_.png").exists()

    def test_strict_refuses_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        file = write("stray.json", STRAY)
        assert cli.main([file, "--strict"]) == 2
        assert cli.main([file, "--strict", "--validate"]) == 2
        assert "missing_node_type" in capsys.readouterr().err
        assert not Path("output").exists()

    def test_validate_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([write("stray.json", STRAY), "--validate"]) == 0
        assert "node 'stray' is left out" in capsys.readouterr().out
