"""Progress: on a terminal a line for each stage and a bar with the time left; JSON on request."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from run_graph.runtime.cli import progress
from run_graph.runtime.cli.progress import JsonLines, StageLines, listener
from run_graph.runtime.events import (
    Event,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeReused,
    NodeStarted,
    RunFinished,
    RunStarted,
    ignore,
)

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
EVENTS: list[Event] = [
    RunStarted(3, ("save",)),
    NodeStarted("photo", "LoadImage"),
    NodeFinished("photo", "LoadImage", 0.25, {}),
    NodeStarted("sample", "FluxSample"),
    NodeProgress("sample", 1, 2, preview=np.zeros(3)),
    NodeFinished("sample", "FluxSample", 1.5, {}),
    NodeReused("again", "FluxSample", "duplicate", {}),
    NodeStarted("save", "SaveImage"),
    NodeErred("save", "SaveImage", "SaveError", "the disk is full"),
    RunFinished("failed", 2.0),
]


def shown(events: list[Event], titles: dict[str, str | None] | None = None) -> list[str]:
    """The lines that remain after a run, without colours."""
    file = io.StringIO()
    console = Console(file=file, width=100, highlight=False)
    with Progress(console=console, transient=True, auto_refresh=False) as bar:
        on_event = StageLines(bar, titles or {})
        for event in events:
            on_event(event)
        assert not bar.tasks
    return [line.rstrip() for line in file.getvalue().splitlines() if line.strip()]


def test_each_stage_leaves_one_line_with_its_outcome() -> None:
    assert shown(EVENTS, {"photo": "Reference picture", "sample": None}) == [
        "✓ Reference picture photo 0.25 s",
        "✓ FluxSample sample 1.50 s",
        "= FluxSample again duplicate",
        "✗ SaveImage save",
    ]


def test_titles_and_ids_are_shown_as_they_are() -> None:
    events = [NodeStarted("[a]", "X"), NodeFinished("[a]", "X", 1, {})]
    assert shown(events, {"[a]": "[bold]not bold[/]"}) == ["✓ [bold]not bold[/] [a] 1.00 s"]


def test_the_bar_counts_the_stage_that_is_running() -> None:
    bar = Progress(console=Console(file=io.StringIO()), auto_refresh=False)
    on_event = StageLines(bar, {})
    on_event(NodeStarted("sample", "FluxSample"))
    on_event(NodeProgress("sample", 3, 8))
    [task] = bar.tasks
    assert (task.completed, task.total) == (3, 8)
    on_event(NodeFinished("sample", "FluxSample", 1, {}))
    assert not bar.tasks


def test_json_lines_hold_every_event_and_no_previews(capsys: pytest.CaptureFixture[str]) -> None:
    on_event = JsonLines()
    for event in EVENTS:
        on_event(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [event.kind for event in EVENTS]
    assert lines[4] == {"event": "node_progress", "node_id": "sample", "value": 1, "maximum": 2}
    assert lines[-1] == {"event": "run_finished", "status": "failed", "seconds": 2.0}


def test_without_a_terminal_a_run_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with listener({}, quiet=False, as_json=False) as on_event:
        for event in EVENTS:
            on_event(event)
    assert capfd.readouterr() == ("", "")


def test_the_time_left_is_known_even_if_steps_take_a_minute() -> None:
    clock = [0.0]
    bar = progress._progress()
    bar.get_time = lambda: clock[0]
    task = bar.add_task("sample", total=4)
    for step in (0, 1, 2):
        bar.update(task, completed=step)
        clock[0] += 60
    assert bar.tasks[0].time_remaining == pytest.approx(120, abs=5)


@pytest.mark.parametrize(("quiet", "expected"), [(True, ignore), (False, StageLines)])
def test_on_a_terminal_stages_are_shown_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, expected: object
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with listener({}, quiet=quiet, as_json=False) as on_event:
        assert on_event is expected or isinstance(on_event, StageLines)


def run_on_a_terminal(folder: Path, *arguments: str) -> tuple[str, str]:
    """Standard output, and what a terminal of 100 columns got on standard error."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from run_graph.runtime.cli.main import main; sys.exit(main())",
            *arguments,
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(terminal)
    received = b""
    try:
        while chunk := os.read(controller, 65536):
            received += chunk
    except OSError:  # Linux: the other end has closed
        pass
    finally:
        os.close(controller)
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    assert process.wait(timeout=60) == 0
    return printed, received.decode()


def test_a_terminal_shows_a_line_for_each_stage_and_the_time_left_while_sampling(project: Path) -> None:
    printed, received = run_on_a_terminal(project.parent, "redux.json", "--set", "sample.steps=60")
    assert printed == f"output{os.sep}redux_00001_.png\n"  # the result alone: it can be piped
    text = ANSI.sub("", received).replace("\r", "\n")
    finished = [line for line in text.splitlines() if line.startswith("✓")]
    assert len(finished) == 11
    assert any(re.match(r"✓ Reference picture photo \d+\.\d\d s$", line.rstrip()) for line in finished)
    assert re.search(r"FluxSample sample\s.*\d+/60 \d:\d\d:\d\d", text)


def test_what_a_node_prints_does_not_come_between_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with listener({}, quiet=False, as_json=True) as on_event:
        on_event(EVENTS[0])
        print("hello from a node")
        on_event(EVENTS[-1])
    captured = capsys.readouterr()
    assert [json.loads(line)["event"] for line in captured.out.splitlines()] == [
        EVENTS[0].kind,
        EVENTS[-1].kind,
    ]
    assert captured.err == "hello from a node\n"
