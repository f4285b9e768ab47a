"""Progress without a terminal: a line a stage and a picture, however many there are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from run_graph.runtime.cli.plain_lines import PlainLines
from run_graph.runtime.cli.stages import Detail, Stage
from run_graph.runtime.events import (
    Event,
    NodeFinished,
    NodeProgress,
    NodeResumed,
    NodeReused,
    NodeStarted,
    NodeWarned,
    RunStarted,
    StageMemory,
)

STAGES = {
    "photo": Stage("LoadImage", "Reference picture"),
    "sample": Stage("FluxSample", None, ("photo",)),
    "save": Stage("SaveImage", None, ("sample",)),
}


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def printed(
    capsys: pytest.CaptureFixture[str],
    events: list[tuple[float, Event]],
    detail: Detail = Detail.NORMAL,
    stages: dict[str, Stage] = STAGES,
) -> list[str]:
    """The lines after events, each of which comes so many seconds after the one before."""
    clock = Clock()
    lines = PlainLines(stages, detail, clock=clock)
    for seconds, event in events:
        clock.now += seconds
        lines(event)
    return [line.removeprefix("run-graph: ") for line in capsys.readouterr().err.splitlines()]


def test_each_stage_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    events: list[tuple[float, Event]] = [
        (0, RunStarted(3, ("save",))),
        (0, NodeStarted("photo", "LoadImage")),
        (0.2, NodeFinished("photo", "LoadImage", 0.2, {})),
        (0, NodeWarned("photo", "no colours")),
        (0, NodeReused("sample", "FluxSample", "cache", {})),
        (0, NodeStarted("save", "SaveImage")),
        (1, NodeFinished("save", "SaveImage", 1.25, {})),
    ]
    assert printed(capsys, events) == [
        "Reference picture photo: 0.20 s",
        "warning: node 'photo': no colours",
        "FluxSample sample: from the cache",
        "SaveImage save: 1.25 s",
    ]


def test_a_long_stage_has_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[tuple[float, Event]] = [
        (0 if n == 5 else 4, NodeProgress("sample", n, 20)) for n in range(5, 21)
    ]
    events = [(0.0, NodeStarted("sample", "FluxSample")), (0.0, NodeResumed("sample", 5, 20)), *steps]
    assert printed(capsys, events) == [
        "FluxSample sample: goes on from step 5 of 20",
        "FluxSample sample: step 8 of 20, about 48 s left",
        "FluxSample sample: step 11 of 20, about 36 s left",
        "FluxSample sample: step 14 of 20, about 24 s left",
        "FluxSample sample: step 17 of 20, about 12 s left",
    ]


def finished(count: int, seconds: float) -> list[tuple[float, Event]]:
    return [(seconds, NodeFinished(f"n{number}", "X", seconds, {})) for number in range(count)]


def test_many_quick_stages_print_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert 20 <= len(printed(capsys, finished(5000, 0.001))) <= 26


def test_long_stages_print_all_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(capsys, finished(50, 1.0))) == 50


def test_a_verbose_display_prints_all_with_key_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(capsys, finished(100, 0.001), Detail.VERBOSE)) == 100
    events: list[tuple[float, Event]] = [
        (0, StageMemory("sample", 16_000_000, 17_000_000, 44_600_000)),
        (0, NodeFinished("sample", "FluxSample", 0.5, {}, None, "0123456789abcdef")),
        (0, NodeReused("save", "SaveImage", "unchanged", {}, None, "fedcba9876543210")),
    ]
    assert printed(capsys, events, Detail.VERBOSE) == [
        "FluxSample sample: 0.50 s, key 0123456789ab, peak memory 44.6 MB, weights 16.0 MB",
        "SaveImage save: unchanged inputs, key fedcba987654",
    ]


def test_many_pictures_have_a_line_about_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    stages = {f"sample{n}": Stage("FluxSample") for n in range(12)}
    events: list[tuple[float, Event]] = [(0, RunStarted(12, tuple(stages)))]
    for node_id in stages:
        events += [
            (0, NodeStarted(node_id, "FluxSample")),
            (5, NodeProgress(node_id, 1, 2)),
            (5, NodeFinished(node_id, "FluxSample", 10, {})),
        ]
    about_all = [line for line in printed(capsys, events, stages=stages) if " of 12" in line]
    assert about_all[2] == "3 of 12, about 90 s left".replace("90 s", "2 min")
    assert about_all[8] == "9 of 12, about 30 s left"
    assert about_all[11] == "12 of 12"


def test_quick_pictures_do_not_all_have_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    targets = tuple(f"n{number}" for number in range(1000))
    events: list[tuple[float, Event]] = [(0, RunStarted(1000, targets)), *finished(1000, 0.01)]
    about_all = [line for line in printed(capsys, events) if " of 1000" in line]
    assert 5 <= len(about_all) <= 7
    assert about_all[-1] == "1000 of 1000"


def test_a_real_run_on_pipes(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "run_graph", "redux.json", "--sweep", "sample.seed=1..3"],
        cwd=project.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 3
    assert re.search(r"^run-graph: Reference picture photo: \d+\.\d\d s$", done.stderr, re.MULTILINE)
    assert re.search(r"^run-graph: FluxSample sample@seed-2: \d+\.\d\d s$", done.stderr, re.MULTILINE)
    assert done.stderr.endswith("run-graph: 3 of 3\n")
    assert done.stderr.isascii()
