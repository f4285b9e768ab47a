"""A workflow that comes in a picture runs within bounds; more needs the user's word or an option."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small import shipped

from run_graph.graph.effects import Effect
from run_graph.graph.registry import Registry
from run_graph.runtime.cli import main as cli
from run_graph.runtime.cli.consent import permitted
from run_graph.runtime.cli.mflux import main as mflux_cli
from run_graph.runtime.cli.options import PermissionOptions
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.job import Job
from run_graph.runtime.files.bounds import Bounds, OutOfBoundsError


def picture_with(graph: dict[str, Any], path: Path) -> Path:
    """A PNG whose `prompt` is this graph, as somebody might send it."""
    text = PngInfo()
    text.add_text("prompt", json.dumps(graph))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path, pnginfo=text)
    return path


def copying(image: str) -> dict[str, Any]:
    """A graph that copies a picture into the output folder."""
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": image}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["photo", 0], "filename_prefix": "copy"}},
    }


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture of the user's; the working directory is elsewhere, with a stranger's pictures beside it."""
    path = tmp_path / "private" / "me.png"
    path.parent.mkdir()
    Image.new("RGB", (8, 8), "red").save(path)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return path


def copies() -> list[str]:
    return sorted(path.name for path in Path("output").glob("*")) if Path("output").exists() else []


# -- reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["{path}", "../private/me.png", "link.png"])
def test_a_stranger_s_picture_cannot_read_elsewhere(
    private: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("link.png").symlink_to(private)
    stranger = picture_with(copying(name.format(path=private)), Path("downloads/gift.png"))
    assert cli.main([str(stranger)]) == 2
    error = capsys.readouterr().err
    assert f"the picture's workflow would read {private}" in error
    assert "node 'photo', input 'image'" in error
    assert f"--allow-read {private.parent}" in error
    assert copies() == []


def test_the_folders_that_a_picture_brings_are_bounded_too(
    private: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PngInfo()
    text.add_text("prompt", json.dumps(copying("me.png")))
    text.add_text("run_graph", json.dumps({"input_directories": [str(private.parent)]}))
    Image.new("RGB", (8, 8)).save("gift.png", pnginfo=text)
    assert cli.main(["gift.png"]) == 2
    assert "would read" in capsys.readouterr().err
    assert copies() == []


def test_the_option_or_the_user_s_own_setting_allows_it(private: Path) -> None:
    stranger = str(picture_with(copying(str(private)), Path("gift.png")))
    assert cli.main([stranger, "--quiet", "--allow-read", str(private.parent)]) == 0
    other = str(picture_with(copying("nothing.png"), Path("other.png")))
    assert (
        cli.main([other, "--quiet", "--set", f"photo.image={private}", "--set", "save.filename_prefix=own"])
        == 0
    )
    assert cli.main([other, "--quiet", "--sweep", f"photo.image={private},gift.png"]) == 0
    assert len(copies()) == 4


def test_a_sweep_does_not_hide_what_the_picture_brought(private: Path) -> None:
    stranger = str(picture_with(copying(str(private)), Path("gift.png")))
    assert cli.main([stranger, "--quiet", "--sweep", "save.filename_prefix=a,b"]) == 2
    assert copies() == []


@pytest.mark.parametrize("folder", ["downloads", "."])
def test_files_beside_the_picture_and_in_the_working_directory_are_within_bounds(
    private: Path, folder: str
) -> None:
    stranger = picture_with(copying("mine.png"), Path("downloads/gift.png"))
    Image.new("RGB", (8, 8)).save(Path(folder) / "mine.png")
    assert cli.main([str(stranger), "--quiet"]) == 0
    assert copies() == ["copy_00001_.png"]


def test_a_workflow_file_that_the_user_names_is_the_user_s_own(private: Path) -> None:
    Path("mine.json").write_text(json.dumps(copying(str(private))))
    assert cli.main(["mine.json", "--quiet"]) == 0


# -- asking -------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_on_a_terminal_the_user_is_asked_once(
    private: Path, answer: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = copying(str(private))
    graph["again"] = {"class_type": "LoadImage", "inputs": {"image": str(private), "frames": "first"}}
    graph["save2"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["again", 0], "filename_prefix": "copy"},
    }
    stranger = str(picture_with(graph, Path("gift.png")))
    screen = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", screen)
    assert cli.main([stranger, "--quiet"]) == code
    assert screen.getvalue().count("allow this? [y/N]") == 1
    assert f"read {private} (photo.image)" in screen.getvalue()
    assert len(copies()) == (2 if code == 0 else 0)


# -- downloads ----------------------------------------------------------------------------------------


@pytest.fixture
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache, and a Hub that answers nothing."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_model(name: str) -> dict[str, Any]:
    graph = shipped("text_to_image").to_json()
    graph["flux"]["inputs"]["model"] = name
    return graph


@pytest.mark.parametrize(("model", "size"), [("evil/repo", "size unknown"), ("dev", "about 33.7 GB")])
def test_a_stranger_s_picture_cannot_download(
    no_models: Path,
    model: str,
    size: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("run_graph.runtime.models.hub._downloaded", asked)
    assert cli.main([str(picture_with(with_model(model), Path("gift.png")))]) == 2
    error = capsys.readouterr().err
    assert "would download" in error
    assert size in error
    assert "--allow-download" in error


@pytest.mark.parametrize("options", [["--allow-download"], ["--set", "flux.model=dev"]])
def test_the_option_or_the_user_s_own_choice_of_a_model_allows_a_download(
    no_models: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []

    def fetched(repo: str, *_: object) -> Path:
        reached.append(repo)
        raise OSError("no network in this test")

    monkeypatch.setattr("run_graph.runtime.models.hub._downloaded", fetched)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    model = "dev" if options[0] == "--allow-download" else "tiny"
    assert cli.main([str(picture_with(with_model(model), Path("gift.png"))), "--quiet", *options]) == 1
    assert reached == ["black-forest-labs/FLUX.1-dev"]


def test_a_model_that_is_here_is_within_bounds(project: Path, small_model: str) -> None:
    graph = with_model(small_model)
    graph["sample"]["inputs"] |= {"width": 32, "height": 32, "steps": 1}
    assert cli.main([str(picture_with(graph, Path("gift.png"))), "--quiet"]) == 0


# -- other ways in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", [True, False])
def test_mflux_s_settings_out_of_a_picture_are_bounded(
    project: Path, small_model: str, within: bool, tmp_path_factory: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--model", small_model, "--width", "32", "--height", "32", "--steps", "1", "--seed", "1"]
    own = ["--prompt", "a fox", "--redux-image-paths", "images/fox.png", "--output", "out/first.png"]
    assert mflux_cli.main([*small, *own]) == 0
    if not within:
        os.chdir(tmp_path_factory.mktemp("elsewhere"))
    picture = project.parent / "out" / "first.png"
    again = ["--config-from-metadata", str(picture), "--output", "again.png"]
    assert mflux_cli.main(again) == (0 if within else 2)
    if not within:
        images = str(project.parent / "images")
        assert f"would read {images}/fox.png" in capsys.readouterr().err
        assert mflux_cli.main([*again, "--allow-read", images]) == 0
        assert mflux_cli.main([*again, "--redux-image-paths", f"{images}/fox.png"]) == 0


def test_a_path_that_a_link_delivers_is_bounded_when_it_is_read(private: Path) -> None:
    environment = RunEnvironment([Path.cwd()], Path("output"), Bounds((Path.cwd(),)))
    with pytest.raises(OutOfBoundsError, match="--allow-read"):
        environment.find_input(str(private))
    assert environment.find_model(str(private)) == private


def test_the_code_of_other_packages_is_listed(private: Path) -> None:
    import sample_nodes

    from run_graph.graph.effect_list import effects_of
    from run_graph.graph.workflow import NodeSpec, Workflow

    registry = Registry([sample_nodes.Keep])
    workflow = Workflow({"n": NodeSpec("Keep", {"value": 1})})
    found = effects_of(workflow, registry, RunEnvironment([Path.cwd()], Path("output")), ["n"])
    assert found == [Effect("package", "sample_nodes", node_id="n")]


def test_what_is_allowed_is_no_more_than_what_was_listed(private: Path) -> None:
    """A yes to one file is not a yes to its folder."""
    from run_graph.graph.registry import installed_nodes
    from run_graph.graph.workflow import Workflow

    job = Job(Workflow.from_json(copying(str(private))), RunEnvironment([Path.cwd()], Path("output")))
    none = PermissionOptions((), False)
    found = permitted(job, Path("gift.png"), lambda _: False, none, installed_nodes(), lambda _: True)
    assert found.job.environment.find_input(str(private)) == private
    other = private.with_name("other.png")
    Image.new("RGB", (8, 8)).save(other)
    with pytest.raises(OutOfBoundsError):
        found.job.environment.find_input(str(other))
    assert not found.downloads
