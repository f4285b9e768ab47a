"""Progress where there is no terminal to draw on, such as a pipe, a log file or CI: one line each."""

from __future__ import annotations

import time
from collections.abc import Callable

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
from run_graph.runtime.cli.terminal import print_message
from run_graph.runtime.events import (
    Downloading,
    Event,
    NodeFinished,
    NodeProgress,
    NodeResumed,
    NodeReused,
    NodeStarted,
    NodeWarned,
    StageMemory,
    WorkerNote,
)
from run_graph.runtime.units import duration_text

_AT_ONCE, _A_SECOND = 20, 1  # lines about quick stages
_STEPS_EVERY = 10.0  # seconds between two lines about the steps of one stage
_OVERALL_EVERY = 2.0  # seconds between two lines about all pictures


class PlainLines:
    """A listener that prints a line for each stage and, in a run of many pictures, for each picture.

    A long stage that counts steps has a line every ten seconds. However many nodes a run has, quick ones
    print at most 20 lines at once and then one a second.

    Parameters
    ----------
    stages : mapping
        The nodes of the run.
    detail : Detail
        If verbose, every stage is printed.
    program : str
        The name before each line.
    clock : callable
        Seconds that only grow.
    """

    def __init__(
        self,
        stages: Stages = {},  # noqa: B006 (never changed)
        detail: Detail = Detail.NORMAL,
        program: str = "run-graph",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = stages
        self._verbose = detail is Detail.VERBOSE
        self._program = program
        self._clock = clock
        self._overall = Overall(stages, clock)
        self._allowance = Allowance(_AT_ONCE, _A_SECOND, clock)
        self._steps = _Steps(clock)
        self._memory: dict[str, StageMemory] = {}
        self._downloading = False
        self._counted, self._overall_printed = 0, float("-inf")

    def __call__(self, event: Event) -> None:
        self._overall(event)
        if isinstance(event, NodeStarted):
            self._steps.begin()
        elif isinstance(event, NodeProgress):
            if text := self._steps.text(event):
                self._print(event.node_id, text)
        elif isinstance(event, NodeResumed):
            self._print(event.node_id, resumed_text(event))
        elif isinstance(event, NodeWarned):
            print_message(warning_text(event), self._program)
        elif isinstance(event, WorkerNote):
            print_message(note_text(event), self._program)
        elif isinstance(event, Downloading):
            self._show_download(event)
        elif isinstance(event, StageMemory):
            self._memory[event.node_id] = event
        elif isinstance(event, NodeFinished | NodeReused):
            self._finish(event)

    def _finish(self, event: NodeFinished | NodeReused) -> None:
        memory = self._memory.pop(event.node_id, None)
        details = details_text(event, memory) if self._verbose else ""
        if self._verbose or self._allowance.covers(event):
            self._print(event.node_id, outcome_text(event) + details)
        self._print_overall()

    def _print(self, node_id: str, text: str) -> None:
        title = title_of(node_id, self._stages)
        print_message(f"{title} {node_id}: {text}".lstrip(), self._program)

    def _print_overall(self) -> None:
        """Print how many pictures there are if that has changed, at most every two seconds and at the end."""
        overall, now = self._overall, self._clock()
        if overall.done == self._counted or not (text := overall.text()):
            return
        if now - self._overall_printed >= _OVERALL_EVERY or overall.done == overall.total:
            self._counted, self._overall_printed = overall.done, now
            print_message(text, self._program)

    def _show_download(self, event: Downloading) -> None:
        """One line for each download before it begins."""
        if not self._downloading:
            print_message(download_text(event), self._program)
        self._downloading = event.done_bytes < event.total_bytes


class _Steps:
    """The lines about a stage that counts steps: how far it is, and the time left at the present pace."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None  # when a step was first reported, and which
        self._next = 0.0

    def begin(self) -> None:
        """Another stage begins."""
        self._first = None

    def text(self, event: NodeProgress) -> str | None:
        """The line, if it is time for one."""
        now = self._clock()
        if self._first is None:
            self._first, self._next = (now, event.value), now + _STEPS_EVERY
        began, first = self._first
        if now < self._next or event.value == event.maximum:
            return None
        self._next = now + _STEPS_EVERY
        line = f"step {event.value} of {event.maximum}"
        if event.value <= first:
            return line
        left = (now - began) / (event.value - first) * (event.maximum - event.value)
        return f"{line}, about {duration_text(left)} left"
