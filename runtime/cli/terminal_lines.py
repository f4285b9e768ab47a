"""Progress on a terminal: a line for each finished stage, and bars for what is running."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from run_graph.runtime.cli.allowance import Allowance
from run_graph.runtime.cli.overall import Overall
from run_graph.runtime.cli.stage_text import (
    details_text,
    download_text,
    note_text,
    outcome_text,
    resumed_text,
    warning_text,
)
from run_graph.runtime.cli.stages import Detail, Stages, title_of
from run_graph.runtime.cli.terminal import can_show, lenient, visible
from run_graph.runtime.events import (
    Downloading,
    Event,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeResumed,
    NodeReused,
    NodeStarted,
    NodeWarned,
    StageMemory,
    WorkerNote,
)

_AT_ONCE, _A_SECOND = 50, 10  # lines about quick stages
_UNICODE = "✓✗…⠋━"
_BAR_FITS, _TIME_FITS = 80, 36  # columns of a terminal that has room for them
_SPINNER, _BAR, _COUNT, _TIME, _SHORTEST_NAME = 2, 30, 10, 8, 7  # columns that they take


class Bars(Progress):
    """The bars of what is running, and below them one line about the whole run."""

    def __init__(self, console: Console, get_time: Callable[[], float] | None = None) -> None:
        self.overall = ""
        self.unicode = can_show(_UNICODE, console.encoding)
        super().__init__(
            *_columns(console.width, unicode=self.unicode),
            console=console,
            transient=True,
            speed_estimate_period=600,  # seconds; a step of a large picture may take a minute
            get_time=get_time,
        )

    def refresh(self) -> None:
        """Do nothing: the bars are drawn ten times a second; drawing each change would take 2 ms a node."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bars, then the line."""
        yield self.make_tasks_table(self.tasks)
        if self.overall:
            yield self.one_line(self.overall)

    def print_line(self, markup: str) -> None:
        """Print a line above the bars, cut where the terminal ends."""
        line = self.one_line(markup)
        self.console.print(line, no_wrap=True, overflow=line.overflow)

    def print_text(self, text: str) -> None:
        """Print a text above the bars, whole."""
        self.console.print(visible(text), markup=False, soft_wrap=True)

    def one_line(self, markup: str) -> Text:
        """Marked-up text as one line that does not wrap."""
        text = Text.from_markup(markup)
        text.no_wrap, text.overflow = True, "ellipsis" if self.unicode else "crop"
        return text


def bars() -> Bars:
    """The bars on standard error, without colours and other styles if NO_COLOR is set."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    screen = lenient(sys.stderr)
    return Bars(Console(file=screen, force_terminal=True, highlight=False, color_system=colours))


def _columns(width: int, *, unicode: bool) -> list[ProgressColumn]:
    """As many columns as fit beside the stage's name, which is cut where they begin."""
    fixed = Column(no_wrap=True)
    columns: list[ProgressColumn] = []
    left = width - _SPINNER - _COUNT
    if width >= _BAR_FITS:
        columns.append(BarColumn(bar_width=_BAR, table_column=fixed))
        left -= _BAR + 1
    columns.append(MofNCompleteColumn(table_column=fixed))
    if width >= _TIME_FITS:
        columns.append(TimeRemainingColumn(table_column=fixed))
        left -= _TIME
    overflow: Literal["ellipsis", "crop"] = "ellipsis" if unicode else "crop"
    name = Column(no_wrap=True, overflow=overflow, max_width=max(left, _SHORTEST_NAME))
    spinner = SpinnerColumn("dots" if unicode else "line", table_column=fixed)
    return [spinner, TextColumn("{task.description}", table_column=name), *columns]


class StageLines:
    """A listener: one line for each finished stage, and a bar with the time left while a stage counts steps.

    Parameters
    ----------
    bars : Bars
    stages : mapping
        The nodes of the run.
    detail : Detail
    """

    def __init__(self, bars: Bars, stages: Stages, detail: Detail = Detail.NORMAL) -> None:
        self._bars = bars
        self._stages = stages
        self._verbose = detail is Detail.VERBOSE
        self._overall = Overall(stages)
        self._allowance = Allowance(_AT_ONCE, _A_SECOND, time.monotonic)
        # By node id; several at once if a file is written while the next stage computes.
        self._tasks: dict[str, TaskID] = {}
        self._memory: dict[str, StageMemory] = {}
        self._download: TaskID | None = None

    def __call__(self, event: Event) -> None:
        self._overall(event)
        self._bars.overall = self._overall.text()
        if isinstance(event, NodeStarted):
            self._tasks[event.node_id] = self._bars.add_task(self._name(event.node_id), total=None)
        elif isinstance(event, NodeProgress) and event.node_id in self._tasks:
            self._bars.update(self._tasks[event.node_id], completed=event.value, total=event.maximum)
        elif isinstance(event, NodeResumed):
            self._bars.print_line(f"{self._name(event.node_id)} {resumed_text(event)}")
        elif isinstance(event, NodeWarned):
            self._bars.print_text(f"run-graph: {warning_text(event)}")
        elif isinstance(event, WorkerNote):
            self._bars.print_text(f"run-graph: {note_text(event)}")
        elif isinstance(event, Downloading):
            self._show_download(event)
        elif isinstance(event, StageMemory):
            self._memory[event.node_id] = event
        elif isinstance(event, NodeFinished | NodeReused):
            self._finish(event)
        elif isinstance(event, NodeErred):
            self._end(event.node_id)
            self._bars.print_line(f"{self._mark('red', '✗', 'x')} {self._name(event.node_id)}")

    def _finish(self, event: NodeFinished | NodeReused) -> None:
        memory = self._memory.pop(event.node_id, None)
        details = details_text(event, memory) if self._verbose else ""
        ran = isinstance(event, NodeFinished)
        mark = self._mark("green", "✓", "+") if ran else self._mark("green", "=", "=")
        self._end(event.node_id)
        if self._verbose or self._allowance.covers(event):
            outcome = f"[dim]{outcome_text(event)}{details}[/]"
            self._bars.print_line(f"{mark} {self._name(event.node_id)} {outcome}")

    def _mark(self, colour: str, mark: str, plain: str) -> str:
        return f"[{colour}]{mark if self._bars.unicode else plain}[/]"

    def _name(self, node_id: str) -> str:
        title = escape(visible(title_of(node_id, self._stages)))
        return f"{title} [dim]{escape(visible(node_id))}[/]".lstrip()

    def _show_download(self, event: Downloading) -> None:
        """A bar in megabytes below that of the stage, for as long as the download lasts."""
        if self._download is None:
            self._bars.print_text(download_text(event))
            self._download = self._bars.add_task("[dim]megabytes[/]", total=event.total_bytes // 10**6)
        self._bars.update(self._download, completed=event.done_bytes // 10**6)
        if event.done_bytes >= event.total_bytes:
            self._end_download()

    def _end_download(self) -> None:
        if self._download is not None:
            self._bars.remove_task(self._download)
            self._download = None

    def _end(self, node_id: str) -> None:
        """The node's bar goes, and that of its download."""
        self._end_download()
        if node_id in self._tasks:
            self._bars.remove_task(self._tasks.pop(node_id))
