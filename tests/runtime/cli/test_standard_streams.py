"""``-`` as a file: the workflow from standard input, the drawing to standard output."""

import io
import json
from pathlib import Path

import pytest

from run_graph.runtime.cli import main as cli


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> "Pipe":
    return Pipe(monkeypatch)


class Pipe:
    """Standard input with some content."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def holds(self, content: bytes) -> None:
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


# -- standard input ---------------------------------------------------------------------------------


def test_a_workflow_is_read_from_standard_input(
    project: Path, pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe.holds(b"\xef\xbb\xbf" + project.read_bytes())
    assert cli.main(["-", "--set", "steps=1"]) == 0
    assert capsys.readouterr().out == "output/redux_00001_.png\n"


def test_it_may_stand_beside_files(project: Path, pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    pipe.holds(project.read_bytes())
    assert cli.main(["-", "redux.json", "--validate"]) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if not line.startswith(" "))
    assert first == "standard input: valid, 11 nodes lead to save"
    assert second == "redux.json: valid, 11 nodes lead to save"
    pipe.holds(project.read_bytes())
    assert cli.main(["-", "redux.json", "--validate", "--set", "standard-input:steps=0"]) == 2
    assert capsys.readouterr().err.startswith("run-graph: standard input: node 'sample'")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "standard input: line 1, column 2"),
        (b"", "standard input: line 1, column 1"),
        (b"\x89PNG\r\n", "Give a workflow in JSON; a picture is given by its path."),
    ],
)
def test_what_is_no_workflow_is_refused_by_name(
    content: bytes, message: str, project: Path, pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe.holds(content)
    assert cli.main(["-"]) == 2
    assert message in capsys.readouterr().err


def test_closed_standard_input_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["-"]) == 2
    assert "standard input cannot be read: it is closed" in capsys.readouterr().err
    assert cli.main(["redux.json", "--set", "prompt=@-"]) == 2
    assert "standard input cannot be read: it is closed" in capsys.readouterr().err


def test_a_drawing_or_sheet_is_written_though_there_is_no_file(
    project: Path, pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # the second time it replaces the first
        pipe.holds(project.read_bytes())
        assert cli.main(["-", "--draw", "graph.png"]) == 0
    assert capsys.readouterr().out == "graph.png\n" * 2


# -- standard output --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "start", "part"),
    [
        ([], "photo  LoadImage", "images ← image.image"),
        (["--draw-format", "txt"], "photo  LoadImage", "images ← image.image"),
        (["--draw-format", "svg"], "<svg", "</svg>\n"),
        (["--draw-format", "mmd"], "flowchart LR", "<i>save"),
        (["--quiet"], "photo  LoadImage", "images ← image.image"),
    ],
)
def test_a_drawing_is_printed(
    options: list[str], start: str, part: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["redux.json", "--draw", "-", *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(start)
    assert part in captured.out
    assert captured.err == ""
    assert not Path("-").exists()


def test_a_printed_drawing_is_the_one_of_a_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("txt", "svg", "mmd"):
        assert cli.main(["redux.json", "--draw", f"graph.{suffix}", "--quiet"]) == 0
        capsys.readouterr()
        assert cli.main(["redux.json", "--draw", "-", "--draw-format", suffix]) == 0
        assert capsys.readouterr().out.rstrip("\n") == Path(f"graph.{suffix}").read_text().rstrip("\n")


def test_as_json_a_drawing_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["redux.json", "--draw", "-", "--draw-format", "svg", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["path"], event["format"]) == ("drawing", "-", "svg")
    assert event["text"].startswith("<svg")


def test_nodes_are_listed_as_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list-nodes", "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    every = json.loads(line)
    assert every["PatchDownsample"]["input"]["required"]["mode"][0][0] == "lowest"
    assert cli.main(["--describe", "PatchDownsample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"PatchDownsample": every["PatchDownsample"]}
    assert cli.main(["--describe", "PatchDownsampel", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["faults"][0]["fix"] == "Did you mean 'PatchDownsample'?"
