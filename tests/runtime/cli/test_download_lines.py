"""How the command reports downloads."""

import io
import json

import pytest
from rich.console import Console

from run_graph.runtime.cli.plain_lines import PlainLines
from run_graph.runtime.cli.progress import display
from run_graph.runtime.cli.stage_text import download_text
from run_graph.runtime.cli.stages import Detail
from run_graph.runtime.cli.terminal_lines import Bars, StageLines
from run_graph.runtime.events import Downloading, NodeFinished, NodeStarted

GB = 10**9


def state(done: int, total: int = 10 * GB) -> Downloading:
    return Downloading("org/name", done, total, free_bytes=412 * GB, folder="/cache")


def test_the_line_gives_the_size_and_the_free_space() -> None:
    assert download_text(state(0)) == "downloading 10.0 GB of org/name (412.0 GB free in /cache)"


def test_a_download_that_resumes_says_how_much_is_there_already() -> None:
    assert download_text(state(3 * GB)) == (
        "downloading 7.0 GB of org/name (412.0 GB free in /cache, 3.0 GB already downloaded)"
    )


def test_one_line_for_each_download(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines({})
    for done in (0, 4 * GB, 10 * GB):
        lines(state(done))
    lines(state(0, 2 * GB))
    assert capsys.readouterr().err.splitlines() == [
        "run-graph: downloading 10.0 GB of org/name (412.0 GB free in /cache)",
        "run-graph: downloading 2.0 GB of org/name (412.0 GB free in /cache)",
    ]


def test_a_terminal_shows_a_bar_for_as_long_as_the_download_lasts() -> None:
    screen = io.StringIO()
    with Bars(Console(file=screen, width=120)) as bars:
        lines = StageLines(bars, {})
        lines(NodeStarted("prompt", "TextEncode"))
        lines(state(0))
        lines(state(4 * GB))
        assert [(task.completed, task.total) for task in bars.tasks[1:]] == [(4000, 10000)]
        lines(state(10 * GB))
        assert len(bars.tasks) == 1
        lines(state(0))
        lines(NodeFinished("prompt", "TextEncode", 1.0, {}))
        assert bars.tasks == []
    assert screen.getvalue().count("downloading 10.0 GB of org/name (412.0 GB free in /cache)") == 2


def test_json_lines_carry_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with display({}, Detail.NORMAL, as_json=True) as shown:
        shown.on_event(state(1))
    assert json.loads(capsys.readouterr().out) == {
        "event": "downloading",
        "repository": "org/name",
        "done_bytes": 1,
        "total_bytes": 10 * GB,
        "free_bytes": 412 * GB,
        "folder": "/cache",
    }


@pytest.mark.parametrize("detail", list(Detail))
def test_without_a_terminal_the_line_is_printed_unless_quiet(
    detail: Detail, capsys: pytest.CaptureFixture[str]
) -> None:
    with display({}, detail) as shown:
        shown.on_event(state(0))
    assert ("downloading" in capsys.readouterr().err) is (detail is not Detail.QUIET)
