"""What is shown where: progress, results or JSON, by the streams and by how much is asked for."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from run_graph.runtime.cli import progress
from run_graph.runtime.cli.plain_lines import PlainLines
from run_graph.runtime.cli.progress import JsonLines, display
from run_graph.runtime.cli.stages import Detail
from run_graph.runtime.cli.terminal_lines import StageLines
from run_graph.runtime.events import (
    Event,
    FileSaved,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeReused,
    NodeStarted,
    RunFinished,
    RunStarted,
    ignore,
)

EVENTS: list[Event] = [
    RunStarted(3, ("save",)),
    NodeStarted("sample", "FluxSample"),
    NodeProgress("sample", 1, 2, preview=np.zeros(3)),
    NodeFinished("sample", "FluxSample", 1.5, {}),
    NodeReused("again", "FluxSample", "duplicate", {}),
    NodeStarted("save", "SaveImage"),
    FileSaved("save", "output/a_00001_.png"),
    NodeErred("save", "SaveImage", "SaveError", "the disk is full"),
    RunFinished("failed", 2.0),
]


def test_json_lines_hold_every_event_and_no_previews(capsys: pytest.CaptureFixture[str]) -> None:
    on_event = JsonLines()
    for event in EVENTS:
        on_event(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [event.kind for event in EVENTS]
    assert lines[2] == {"event": "node_progress", "node_id": "sample", "value": 1, "maximum": 2}
    assert lines[6] == {"event": "file_saved", "node_id": "save", "path": "output/a_00001_.png"}
    assert lines[-1] == {"event": "run_finished", "status": "failed", "seconds": 2.0}


@pytest.mark.parametrize(
    ("detail", "terminal", "expected"),
    [
        (Detail.QUIET, "xterm", None),
        (Detail.NORMAL, "xterm", StageLines),
        (Detail.VERBOSE, "xterm", StageLines),
        (Detail.NORMAL, "dumb", PlainLines),
        (Detail.NORMAL, None, PlainLines),
    ],
)
def test_bars_are_drawn_only_where_they_can_be(
    monkeypatch: pytest.MonkeyPatch, detail: Detail, terminal: str | None, expected: type | None
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal is not None, raising=False)
    monkeypatch.setenv("TERM", terminal or "xterm")
    with display({}, detail) as shown:
        assert shown.on_event is ignore if expected is None else isinstance(shown.on_event, expected)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("detail", list(Detail))
def test_what_a_node_prints_does_not_come_between_results(
    capsys: pytest.CaptureFixture[str], detail: Detail, as_json: bool
) -> None:
    with display({}, detail, as_json=as_json) as shown:
        shown.on_event(EVENTS[0])
        print("hello from a node")
        shown.print_result("a.png")
    captured = capsys.readouterr()
    if as_json:
        assert json.loads(captured.out)["event"] == "run_started"
    else:
        assert captured.out == "a.png\n"
    assert captured.err == "hello from a node\n"


class Broken(io.StringIO):
    """A stream on a full disk, or a terminal that is gone."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_standard_error_that_breaks_fails_no_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    broken = Broken()
    monkeypatch.setattr(broken, "isatty", lambda: is_terminal)
    monkeypatch.setattr(broken, "fileno", lambda: os.open(os.devnull, os.O_WRONLY))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", broken)
    with display({}, Detail.NORMAL) as shown:
        for event in EVENTS:
            shown.on_event(event)
        print("from a node")
        shown.print_result("a.png")
    assert capsys.readouterr().out == "a.png\n"


def times_of_paths(folder: Path, *arguments: str) -> list[tuple[str, bool]]:
    """Each line of standard output, and whether the process was still running a moment later."""
    process = subprocess.Popen(
        [sys.executable, "-m", "run_graph", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        path = json.loads(line).get("path") if "--json" in arguments else line.rstrip()
        if path:
            assert (folder / path).is_file()
            lines.append((path, process.poll() is None))
    assert process.wait(timeout=60) == 0
    return lines


@pytest.mark.parametrize("option", ["--json", "--quiet", "--low-ram"])
def test_every_file_of_a_batch_is_reported_when_it_is_there(project: Path, option: str) -> None:
    batch = ["--set", "sample.batch_size=3", "--sweep", "sample.seed=1..2"]
    lines = times_of_paths(project.parent, "redux.json", *batch, option)
    expected = [f"output/redux_seed-{seed}_0000{number}_.png" for seed in (1, 2) for number in (1, 2, 3)]
    assert sorted(path for path, _ in lines) == expected
    assert [running for _, running in lines[:3]] == [True] * 3
