"""``--example``: the workflows that come with run-graph, for somebody who has no checkout."""

import json
from pathlib import Path

import pytest
from small import SHIPPED, WORKFLOWS

from run_graph.runtime.cli import main as cli


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--example"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == SHIPPED
    assert "images/sunset.png, images/teapot.png" in printed[SHIPPED.index("two_references")]
    assert cli.main(["--example", "--json"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert names == SHIPPED
    assert files() == set()


@pytest.mark.parametrize("name", SHIPPED)
def test_an_example_is_whole_and_valid_where_it_is_written(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--example", name, "deep/here"]) == 0
    printed = capsys.readouterr()
    assert set(printed.out.splitlines()) == files()
    assert f"run it with: run-graph deep/here/{name}.json" in printed.err
    assert (Path("deep/here") / f"{name}.json").read_bytes() == (WORKFLOWS / f"{name}.json").read_bytes()
    assert cli.main([f"deep/here/{name}.json", "--validate"]) == 0


def test_the_default_is_the_present_folder_and_the_same_files_may_be_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("redux", "redux", "redux_modes"):
        assert cli.main(["--example", name]) == 0
    assert files() == {"redux.json", "redux_modes.json", "images/fox.png"}


@pytest.mark.parametrize("mine", ["redux.json", "images/fox.png"])
def test_nothing_is_overwritten_and_then_nothing_is_written(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(mine).parent.mkdir(exist_ok=True)
    Path(mine).write_text("mine")
    assert cli.main(["--example", "redux"]) == 2
    captured = capsys.readouterr()
    assert f"{mine} already exists and is another file; name another folder" in captured.err
    assert captured.out == ""
    assert files() == {mine}
    assert Path(mine).read_text() == "mine"


def test_a_folder_that_cannot_be_written_and_an_unknown_name_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("taken").touch()
    assert cli.main(["--example", "redux", "taken"]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert cli.main(["--example", "reduks"]) == 2
    assert "there is no example 'reduks'. Did you mean 'redux'?" in capsys.readouterr().err
    assert cli.main(["--example", "zzz"]) == 2
    assert f"The examples are {', '.join(SHIPPED)}." in capsys.readouterr().err


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cli.main(["--example", "text_to_image", "~/pictures"]) == 0
    assert files() == {"home/pictures/text_to_image.json"}
