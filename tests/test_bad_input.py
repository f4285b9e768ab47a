"""Bad input of any kind gives one clear message: what is wrong, where, and the fix. Nothing is lost."""

import errno
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors
from PIL import Image
from small import edit, make_project, shipped, shrunk

from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.cli import main as cli
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import NodeStarted
from run_graph.runtime.files import outputs as files
from run_graph.runtime.images.exif import exif_data

BAD_INPUT, NODE_FAILED = 2, 1


@pytest.fixture
def project(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``redux.json`` on a small model, its pictures beside it, and the working directory there."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path, small_model)


Command = Callable[..., str]


@pytest.fixture
def refused(project: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command, which must fail without a traceback or new files; returns its message."""

    def run(*arguments: str, code: int = BAD_INPUT) -> str:
        before = snapshot(project.parent)
        assert cli.main(list(arguments) or ["redux.json"]) == code
        assert snapshot(project.parent) == before
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("run-graph: ")
        assert "Traceback" not in err
        return err

    return run


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def set_input(project: Path, node_id: str, name: str, value: Any) -> None:
    edit(project, lambda nodes: nodes[node_id]["inputs"].__setitem__(name, value))


# -- the workflow file ------------------------------------------------------------------------------


def as_json(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda path: path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda path: path.unlink(), ["there is no such file"]),
        (lambda path: path.write_bytes(b""), ["line 1, column 1", "Is the file complete?"]),
        (as_json(lambda text: text[: len(text) // 2]), ["line ", "column ", "Is the file complete?"]),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), ["byte 0 is not UTF-8 text"]),
        (as_json(lambda text: "[1, 2]"), ["a workflow is a JSON object of nodes"]),
        (as_json(lambda text: '{"a": {"class_type": "X"}, "a": {}}'), ["the key 'a' occurs more than once"]),
        (as_json(lambda text: '{"a": 5}'), ["node 'a'", "a node is an object with class_type"]),
        (as_json(lambda text: '{"a": {"inputs": {}}}'), ["node 'a'", "no class_type"]),
        (as_json(lambda text: '{"a": {"class_type": "LodImage"}}'), ["Did you mean 'LoadImage'?"]),
        (as_json(lambda text: '{"a": {"class_type": "LoadFlux"}}'), ["no output node", "SaveImage"]),
        (as_json(lambda text: "{}"), ["no output node"]),
        (as_json(lambda text: '{"nodes": [], "links": []}'), ["no output node"]),
        (as_json(lambda text: '{"nodes": [{"id": 3}], "links": []}'), ["node '3'", "the node has no type"]),
        (as_json(lambda text: text.replace("3.5", "NaN")), ["NaN is not a finite number"]),
        (as_json(lambda text: "[" * 100_000), ["nested too deeply"]),
    ],
    ids=range(15),
)
def test_a_file_that_is_not_a_workflow(
    project: Path, refused: Command, spoil: Callable[[Path], object], parts: list[str]
) -> None:
    spoil(project)
    message = refused()
    assert message.startswith("run-graph: redux.json: ")
    for part in parts:
        assert part in message


def test_a_folder_is_not_a_workflow(refused: Command) -> None:
    assert "images: this is a folder. Give a workflow file inside it." in refused("images")


def test_a_misspelt_file_name_gets_a_suggestion(refused: Command) -> None:
    assert "Did you mean 'redux.json'?" in refused("redx.json")


# -- its nodes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node_id", "name", "value", "parts"),
    [
        ("sample", "steps", "many", ["(FluxSample), input 'steps'", 'found "many"', "INT"]),
        ("sample", "steps", 2.5, ["input 'steps'", "found 2.5"]),
        ("sample", "steps", 0, ["too small", "found 0", "Write at least 1."]),
        ("sample", "guidance", 1000, ["too large", "Write at most 100."]),
        ("sample", "width", 1000, ["not a multiple of 16", "nearest legal values are 992 and 1008"]),
        ("sample", "height", 10**9, ["input 'height'", "8192"]),
        ("sample", "seed", -1, ["input 'seed'", "Write at least 0."]),
        ("sample", "flux", "tiny", ["takes a link, not a value", "output of LoadFlux"]),
        ("sample", "flux", ["nobody", 0], ["leads to node 'nobody', which does not exist"]),
        ("sample", "flux", ["flux", 7], ["has no output 7", "0 = flux (MODEL)"]),
        ("sample", "flux", ["flux", "fulx"], ["has no output 'fulx'", "0 = flux (MODEL)"]),
        ("sample", "flux", ["flux", "vae"], ["found VAE", "expected MODEL", '["flux", "flux"]']),
        ("sample", "flux", ["flux", 0, 1], ["a list here must be a link, and this is not one"]),
        ("sample", "stepz", 4, ["no such input", "Did you mean 'steps'?"]),
        ("smaller", "mode", "medum", ["not one of those allowed", "Did you mean 'medium'?"]),
        ("smaller", "interpolation", 3, ["input 'interpolation'", "nearest-exact"]),
        ("smaller", "factor", 10, ["input 'factor'", "Write at most 9."]),
        ("both", "strength", 1.5, ["input 'strength'", "too large"]),
        ("prompt", "prompt", None, ["input 'prompt'", "STRING"]),
        ("prompt", "prompt", {"a": 1}, ["input 'prompt'", "STRING"]),
        ("flux", "quantize", 7, ["input 'quantize'", "none, 3, 4, 5, 6, 8"]),
        ("flux", "model", "fluxx/", ["input 'model'", "no FLUX model 'fluxx/'"]),
        ("flux", "model", "./gone", ["input 'model'", "gone does not exist"]),
        ("redux", "model", "schnell", ["input 'model'", "schnell belongs in LoadFlux"]),
        ("photo", "image", "sunset.png", ["input 'image'", "no file 'sunset.png'; looked in"]),
        ("photo", "image", "", ["input 'image'", "no file ''"]),
        ("photo", "image", "images", ["input 'image'", "no file 'images'"]),
        ("photo", "image", "redux.json", ["input 'image'", "redux.json: damaged, or not a picture"]),
        ("save", "filename_prefix", "../fox", ["input 'filename_prefix'", "points outside the output"]),
        ("save", "filename_prefix", "/fox", ["input 'filename_prefix'", "points outside the output"]),
        ("save", "filename_prefix", "", ["input 'filename_prefix'", "does not name a file"]),
    ],
)
def test_an_input_that_does_not_fit(
    project: Path, refused: Command, node_id: str, name: str, value: Any, parts: list[str]
) -> None:
    set_input(project, node_id, name, value)
    message = refused()
    assert message.startswith(f"run-graph: redux.json: node '{node_id}' (")
    assert message.count("\n") == 1
    for part in parts:
        assert part in message


def test_a_required_input_that_is_missing(project: Path, refused: Command) -> None:
    edit(project, lambda nodes: nodes["vision"]["inputs"].pop("image"))
    message = refused()
    assert "node 'vision' (SiglipEncode), input 'image': a required input is missing" in message
    assert "LoadImage" in message


def test_a_cycle_is_named_node_by_node(project: Path, refused: Command) -> None:
    set_input(project, "vision", "image", ["image", 0])
    message = refused()
    assert "the node depends on itself" in message
    assert "vision (SiglipEncode) -> tokens (ReduxEncode)" in message


# -- pictures ---------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"hello", "damaged, or not a picture"),
        (b"\x89PNG\r\n\x1a\n", "photo.png: "),
        (bomb(), "exceeds the limit of 178,956,970 pixels; scale the picture down"),
    ],
    ids=["empty", "text", "signature alone", "bomb"],
)
def test_a_file_that_is_not_a_picture_or_a_picture_that_is_too_large(
    project: Path, refused: Command, content: bytes, expected: str
) -> None:
    Path("photo.png").write_bytes(content)
    message = refused("redux.json", "--set", "photo.image=photo.png")
    assert "node 'photo' (LoadImage), input 'image'" in message
    assert expected in message


def test_a_truncated_picture_fails_when_it_is_decoded(project: Path, refused: Command) -> None:
    path = Path("images/fox.png")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refused(code=NODE_FAILED)
    assert "redux.json: node 'photo' (LoadImage) failed:" in message
    assert "fox.png: the picture cannot be decoded" in message
    assert '  image = "images/fox.png"' in message


# -- pictures as workflows --------------------------------------------------------------------------


def test_a_picture_without_a_workflow(refused: Command) -> None:
    message = refused("images/fox.png")
    assert "images/fox.png: the picture carries no workflow" in message


def test_a_damaged_picture_as_a_workflow(project: Path, refused: Command) -> None:
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x05zTXtab\0\0x")
    assert "a.png: " in refused("a.png")


def test_a_jpeg_by_mflux_whose_reference_picture_is_missing(project: Path, refused: Command) -> None:
    settings = {"prompt": "a fox", "seed": 7, "redux_image_paths": ["gone.png"]}
    Image.new("RGB", (8, 8)).save("a.jpg", exif=exif_data(settings))
    message = refused("a.jpg")
    assert message.startswith("run-graph: a.jpg: ")
    assert "no file 'gone.png'; looked in" in message


# -- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node_id", "part"), [("flux", "transformer"), ("flux", "tokenizer"), ("redux", "image_encoder")]
)
def test_a_model_folder_that_lacks_a_component(
    project: Path, small_model: str, refused: Command, node_id: str, part: str
) -> None:
    shutil.copytree(small_model, "model")
    shutil.rmtree(f"model/{part}")
    message = refused("redux.json", "--set", f"{node_id}.model=./model")
    assert f"node '{node_id}' (" in message
    assert f"has no folder '{part}'" in message


def test_a_model_folder_with_a_truncated_component(project: Path, small_model: str, refused: Command) -> None:
    shutil.copytree(small_model, "model")
    [weights] = Path("model/vae").glob("*.safetensors")
    os.truncate(weights, weights.stat().st_size - 10)
    message = refused("redux.json", "--set", "flux.model=./model")
    assert f"{weights.name} is cut short" in message
    assert "Download or copy it again" in message


RESPONSE = httpx.Response(403, request=httpx.Request("GET", "https://example.org"))


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (
            errors.GatedRepoError("403", response=RESPONSE),
            ["https://huggingface.co/black-forest-labs/FLUX.1-dev", "`hf auth login`"],
        ),
        (errors.RepositoryNotFoundError("404", response=RESPONSE), ["`hf auth login`", "Check the spelling"]),
        (httpx.ConnectError("no route"), ["the Hub cannot be reached", "local folder"]),
    ],
    ids=["gated", "not found", "unreachable"],
)
def test_a_repository_that_cannot_be_downloaded(
    project: Path,
    refused: Command,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    parts: list[str],
) -> None:
    def answer(*_: Any, local_files_only: bool = False, **__: Any) -> str:
        raise errors.LocalEntryNotFoundError("nothing cached") if local_files_only else error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", answer)
    monkeypatch.setattr(huggingface_hub.HfApi, "auth_check", answer)
    message = refused("redux.json", "--set", "flux.model=dev", code=NODE_FAILED)
    assert "A later stage of this run needs it" in message, "nothing has computed yet"
    for part in ["black-forest-labs/FLUX.1-dev", *parts]:
        assert part in message


# -- the command line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "sampel.seed=1"], "there is no node 'sampel'. Did you mean 'sample'?"),
        (["--set", "sample.sed=1"], "FluxSample has no input 'sed'. Did you mean 'seed'?"),
        (["--set", "sample.seed"], "is not of the form NODE.INPUT=VALUE"),
        (["--target", "sav"], "--target 'sav': there is no node of this name. Did you mean 'save'?"),
        (["--output", "redux.json"], "cannot write into redux.json"),
        (["--output", "redux.json/deeper"], "is a file. Choose another output folder (--output)."),
        (["--draw", "redux.json/a.svg"], "cannot write"),
    ],
)
def test_arguments_that_do_not_fit(refused: Command, arguments: list[str], expected: str) -> None:
    assert expected in refused("redux.json", *arguments)


def test_a_drawing_never_replaces_the_workflow_that_it_shows(
    project: Path, refused: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--quiet"]) == 0
    picture = capfd.readouterr().out.strip()
    assert "would overwrite the workflow itself" in refused(picture, "--draw", picture)


@pytest.mark.parametrize("arguments", [["--draw", "a.gif"], ["--quiet", "--json"], ["--nonsense"]])
def test_arguments_that_argparse_refuses(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["redux.json", *arguments])
    assert caught.value.code == BAD_INPUT
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("run-graph: --") or first == "run-graph: there is no option --nonsense"
    assert second == "  see run-graph --help"


# -- the disk ---------------------------------------------------------------------------------------


def test_a_read_only_output_folder_is_reported_before_anything_runs(
    refused: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write anywhere
    message = refused("redux.json")
    assert "node 'save' (SaveImage)" in message
    assert "is not permitted. Choose another output folder (--output)." in message


def test_a_full_disk_leaves_no_partial_file(refused: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    message = refused(code=NODE_FAILED)
    assert "node 'save' (SaveImage) failed: cannot write output/redux_*.png: it needs" in message
    assert "free some space" in message


def test_a_session_keeps_a_picture_that_could_not_be_saved(
    tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(cache=MemoryCache())
    workflow = shrunk(shipped("text_to_image"), small_model)
    environment = RunEnvironment([], tmp_path)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(NodeFailed, match="free some space"):
            session.run(workflow, environment=environment)
    events: list[Any] = []
    session.run(workflow, environment=environment, on_event=events.append)
    assert [event.node_id for event in events if isinstance(event, NodeStarted)] == ["save"]
    assert [path.name for path in tmp_path.iterdir()] == ["text_to_image_00001_.png"]


def test_json_output_reports_every_fault_on_one_line(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    set_input(project, "sample", "steps", 0)
    set_input(project, "smaller", "mode", "medum")
    assert cli.main(["redux.json", "--json"]) == BAD_INPUT
    [line] = capfd.readouterr().out.splitlines()
    report = json.loads(line)
    assert (report["event"], report["file"], len(report["faults"])) == ("invalid", "redux.json", 2)
    for fault in report["faults"]:
        assert {
            "code",
            "message",
            "fix",
            "node_id",
            "class_type",
            "input",
            "found",
            "expected",
        } <= fault.keys()
