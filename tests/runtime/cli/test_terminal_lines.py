"""Progress on a terminal: a line for each stage, bars for what runs; narrow, plain and ASCII ones too."""

import io
import re
from pathlib import Path

import pytest
from processes import lines_on_screen, on_a_terminal
from rich.console import Console

from run_graph.runtime.cli.stages import Detail, Stage
from run_graph.runtime.cli.terminal_lines import Bars, StageLines
from run_graph.runtime.events import (
    Event,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeResumed,
    NodeReused,
    NodeStarted,
    RunFinished,
    RunStarted,
    StageMemory,
)

STAGES = {
    "photo": Stage("LoadImage", "Reference picture"),
    "sample": Stage("FluxSample"),
    "again": Stage("FluxSample"),
    "save": Stage("SaveImage"),
}
EVENTS: list[Event] = [
    RunStarted(3, ("save",)),
    NodeStarted("photo", "LoadImage"),
    NodeFinished("photo", "LoadImage", 0.25, {}),
    NodeStarted("sample", "FluxSample"),
    NodeResumed("sample", 1, 2),
    NodeProgress("sample", 1, 2),
    StageMemory("sample", 1_000_000, 2_000_000, 3_000_000),
    NodeFinished("sample", "FluxSample", 1.5, {}, None, "0123456789abcdef"),
    NodeReused("again", "FluxSample", "duplicate", {}, None, "0123456789abcdef"),
    NodeStarted("save", "SaveImage"),
    NodeErred("save", "SaveImage", "SaveError", "the disk is full"),
    RunFinished("failed", 2.0),
]


def shown(
    events: list[Event],
    stages: dict[str, Stage] = STAGES,
    detail: Detail = Detail.NORMAL,
    width: int = 100,
    encoding: str = "utf-8",
) -> list[str]:
    """The lines that remain after a run, without colours."""
    data = io.BytesIO()
    file = io.TextIOWrapper(data, encoding=encoding, write_through=True)
    with Bars(Console(file=file, width=width, highlight=False)) as bars:
        on_event = StageLines(bars, stages, detail)
        for event in events:
            on_event(event)
        assert not bars.tasks
    return [line.rstrip() for line in data.getvalue().decode(encoding).splitlines() if line.strip()]


def test_each_stage_leaves_one_line_with_its_outcome() -> None:
    assert shown(EVENTS) == [
        "✓ Reference picture photo 0.25 s",
        "FluxSample sample goes on from step 1 of 2",
        "✓ FluxSample sample 1.50 s",
        "= FluxSample again same as another",
        "✗ SaveImage save",
    ]


def test_verbose_adds_key_and_memory() -> None:
    lines = shown(EVENTS, detail=Detail.VERBOSE)
    assert lines[2] == "✓ FluxSample sample 1.50 s, key 0123456789ab, peak memory 3.0 MB, weights 1.0 MB"
    assert lines[3] == "= FluxSample again same as another, key 0123456789ab"


def test_marks_are_ascii_where_the_encoding_is() -> None:
    assert shown(EVENTS, encoding="ascii") == [
        "+ Reference picture photo 0.25 s",
        "FluxSample sample goes on from step 1 of 2",
        "+ FluxSample sample 1.50 s",
        "= FluxSample again same as another",
        "x SaveImage save",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [8, 20, 40])
def test_a_narrow_terminal_cuts_lines_and_wraps_none(width: int, encoding: str) -> None:
    lines = shown(EVENTS, width=width, encoding=encoding)
    assert len(lines) == 5
    assert max(map(len, lines)) <= width


def test_titles_and_ids_are_shown_as_they_are() -> None:
    events: list[Event] = [NodeStarted("[a]", "X"), NodeFinished("[a]", "X", 1, {})]
    assert shown(events, {"[a]": Stage("X", "[bold]not bold[/]")}) == ["✓ [bold]not bold[/] [a] 1.00 s"]


def test_the_bar_counts_the_stage_that_is_running() -> None:
    bars = Bars(Console(file=io.StringIO()))
    on_event = StageLines(bars, STAGES)
    on_event(NodeStarted("sample", "FluxSample"))
    on_event(NodeProgress("sample", 3, 8))
    [task] = bars.tasks
    assert (task.completed, task.total) == (3, 8)
    on_event(NodeFinished("sample", "FluxSample", 1, {}))
    assert not bars.tasks


def test_the_time_left_is_known_even_if_steps_take_a_minute() -> None:
    clock = [0.0]
    bars = Bars(Console(file=io.StringIO()), get_time=lambda: clock[0])
    task = bars.add_task("sample", total=4)
    for step in (0, 1, 2):
        bars.update(task, completed=step)
        clock[0] += 60
    assert bars.tasks[0].time_remaining == pytest.approx(120, abs=5)


def test_a_terminal_shows_a_line_for_each_stage_and_the_time_left_while_sampling(project: Path) -> None:
    printed, received = on_a_terminal(project.parent, "redux.json", "--set", "sample.steps=60")
    assert printed == "output/redux_00001_.png\n"  # the result alone: it can be piped
    lines = lines_on_screen(received)
    finished = [line for line in lines if line.startswith("✓")]
    assert len(finished) == 11
    assert any(re.match(r"✓ Reference picture photo \d+\.\d\d s$", line) for line in finished)
    assert any(re.search(r"FluxSample sample\s.*\d+/60 \d:\d\d:\d\d", line) for line in lines)


def test_results_on_the_same_terminal_are_lines_above_the_bars(project: Path) -> None:
    _, received = on_a_terminal(project.parent, "redux.json", "--sweep", "sample.seed=1..2", both=True)
    for seed in (1, 2):
        path = re.escape(f"output/redux_seed-{seed}_00001_.png")
        # The cursor does not go up again before the bars below the path have been drawn.
        assert re.search(rf"{path}\r?\n(?![\r\x1b\[2K]*\x1b\[1A)", received)


@pytest.mark.parametrize(
    ("columns", "environment"),
    [(20, {}), (38, {"NO_COLOR": "1"}), (50, {"PYTHONIOENCODING": "ascii"}), (100, {"TERM": "dumb"})],
)
def test_many_pictures_on_odd_terminals(project: Path, columns: int, environment: dict[str, str]) -> None:
    sweep = ("redux.json", "--set", "sample.steps=40", "--sweep", "sample.seed=1..3")
    printed, received = on_a_terminal(project.parent, *sweep, columns=columns, **environment)
    assert len(printed.splitlines()) == 3
    lines = lines_on_screen(received)
    assert any(re.match(r"(run-graph: )?[123] of 3", line) for line in lines)
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in received
    else:
        assert max(map(len, lines)) <= columns
        assert "\x1b[?25l" in received  # the cursor is hidden while bars are drawn
        assert received.rindex("\x1b[?25h") > received.rindex("\x1b[?25l")
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*m", received)
    if "PYTHONIOENCODING" in environment:
        assert received.isascii()
        assert "\\u" not in received


def test_many_quick_stages_print_few_lines_unless_verbose() -> None:
    many: list[Event] = [NodeFinished(f"n{number}", "X", 0.001, {}) for number in range(2000)]
    assert 50 <= len(shown(many)) <= 500
    assert len(shown(many, detail=Detail.VERBOSE)) == 2000
    assert len(shown([NodeFinished(f"n{number}", "X", 1.0, {}) for number in range(100)])) == 100
