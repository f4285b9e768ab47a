"""``--convert`` writes the API format, ``--export-ui`` the format of the editor; neither over a file."""

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from small import shipped

from run_graph.graph import load_workflow
from run_graph.runtime.cli import main as cli

EDITOR = {
    "nodes": [
        {"id": 3, "type": "LoadImage", "widgets_values": ["fox.png", "image"], "title": "Photo"},
        {"id": 4, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}]},
        {"id": 5, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 2}]},
        {"id": 6, "type": "Note", "widgets_values": ["A note."]},
    ],
    "links": [[1, 3, 0, 4, 0, "*"], [2, 4, 0, 5, 0, "IMAGE"]],
}
CONVERTED = {
    "3": {"class_type": "LoadImage", "inputs": {"image": "fox.png"}, "_meta": {"title": "Photo"}},
    "5": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["3", 0]}},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(kind: str) -> str:
    """A file with the same workflow in one of the forms that are read."""
    text = json.dumps(EDITOR)
    if kind == "picture":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("workflow", text)
        Image.new("RGB", (8, 8)).save("in.png", pnginfo=chunks)
        return "in.png"
    documents = {
        "editor": EDITOR,
        "wrapped": {"input": {"workflow": EDITOR}},
        "API": CONVERTED,
    }
    Path("in.json").write_text(json.dumps(documents[kind]))
    return "in.json"


@pytest.mark.parametrize("kind", ["editor", "wrapped", "picture", "API"])
def test_every_file_that_can_be_read_is_written(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(kind)
    assert cli.main([file, "--convert", "sub/out.json"]) == 0
    assert json.loads(Path("sub/out.json").read_text()) == CONVERTED
    out, err = capsys.readouterr()
    assert out == "sub/out.json\n"
    filled = 'filled in 5.filename_prefix = "ComfyUI"'
    note = f"run-graph: {file}: written for another version of ComfyUI: {filled}\n"
    assert err == ("" if kind == "API" else note)


def test_what_is_written_reads_as_the_same_workflow() -> None:
    Path("in.json").write_text(shipped("two_references").dumps())
    assert cli.main(["in.json", "--convert", "out.json"]) == 0
    assert load_workflow("out.json") == shipped("two_references")


def test_a_file_of_the_editor_can_be_written_and_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.json").write_text(shipped("two_references").dumps())
    assert cli.main(["in.json", "--export-ui", "ui.json", "--set", "sample.seed=9"]) == 0
    assert capsys.readouterr().out == "ui.json\n"
    assert json.loads(Path("ui.json").read_text())["version"] == 0.4
    back = load_workflow("ui.json").nodes
    assert back.keys() == shipped("two_references").nodes.keys()
    assert back["sample"].inputs["seed"] == 9


def test_both_can_be_written_at_once_and_what_the_editor_may_change_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("in.json").write_text(json.dumps({"1": {"class_type": "Mystery", "inputs": {"a": 1}}}))
    assert cli.main(["in.json", "--convert", "api.json", "--export-ui", "ui.json"]) == 0
    out, err = capsys.readouterr()
    assert out == "api.json\nui.json\n"
    assert err == "run-graph: in.json: the values of unknown classes are in the order of the file: Mystery\n"


def test_a_link_to_nothing_is_told_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.json").write_text(json.dumps({"1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}}))
    assert cli.main(["in.json", "--export-ui", "ui.json"]) == 2
    assert (
        "in.json: node '1' (SaveImage), input 'images': the link leads to no output"
        in capsys.readouterr().err
    )
    assert not Path("ui.json").exists()


def test_settings_are_applied() -> None:
    assert cli.main([write("editor"), "--convert", "out.json", "--set", "3.image=cat.png"]) == 0
    assert load_workflow("out.json").nodes["3"].inputs == {"image": "cat.png"}


def test_the_result_is_reported_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([write("API"), "--convert", "out.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "converted", "path": "out.json"}


@pytest.mark.parametrize("option", ["--convert", "--export-ui"])
@pytest.mark.parametrize("target", ["in.json", "./in.json", "link.json", "other.json"])
def test_no_file_is_overwritten(option: str, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = write("editor")
    Path("other.json").write_text("mine")
    Path("link.json").symlink_to("in.json")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert cli.main([file, "--quiet", option, target]) == 2
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
    assert "would overwrite" in capsys.readouterr().err


def test_a_fault_in_the_file_is_told_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.json").write_text(json.dumps({"nodes": [{"id": 7}], "links": []}))
    assert cli.main(["in.json", "--convert", "out.json"]) == 2
    assert "in.json: node '7': the node has no type" in capsys.readouterr().err
    assert not Path("out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["in.json", "--convert", "out.png"], "--convert writes .json"),
        (["in.json", "in.json", "--convert", "out.json"], "--convert takes one workflow"),
        (["in.json", "--export-ui", "out.png"], "--export-ui writes .json"),
        (["in.json", "in.json", "--export-ui", "out.json"], "--export-ui takes one workflow"),
    ],
)
def test_options_that_do_not_fit(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    write("editor")
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert part in capsys.readouterr().err
