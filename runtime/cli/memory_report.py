"""``--memory-report``: which models were in memory when, from the events of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from run_graph.runtime.cli.terminal import print_lines
from run_graph.runtime.events import (
    Event,
    ModelEvicted,
    ModelLoaded,
    NodeFinished,
    NodeStarted,
    RunStarted,
    StageMemory,
)
from run_graph.runtime.units import bytes_text

Row = tuple[str, str, str, str, str]

_HEADINGS: Row = ("seconds", "stage", "", "size", "weights held")


@contextmanager
def memory_report(enabled: bool) -> Iterator[MemoryReport | None]:
    """A listener, if enabled, that prints its table to standard error at the end, even after a failure."""
    if not enabled:
        yield None
        return
    report = MemoryReport()
    try:
        yield report
    finally:
        print_lines(report.text())


class MemoryReport:
    """A listener that records which models are loaded and evicted; `text` is the table.

    Each row gives the seconds since the run began, the current node, what happened, its size, and the size
    of all weights in memory afterwards. The last row of a stage gives the peak memory of all MLX arrays
    during the stage, activations included.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stage = ""
        self._rows: list[Row] = []
        self._peak = 0
        self._most_held = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._began = time.perf_counter()
        elif isinstance(event, NodeStarted):
            self._stage = f"{event.node_id} ({event.class_type})"
        elif isinstance(event, NodeFinished):
            self._stage = ""
        elif isinstance(event, ModelLoaded):
            bits = f", {event.bits} bits" if event.bits else ""
            what = f"+ {event.component} of {event.name}{bits}"
            self._add(what, event.nbytes, event.resident_bytes)
        elif isinstance(event, ModelEvicted):
            self._add(f"- {event.component} of {event.name}", event.nbytes, event.resident_bytes)
        elif isinstance(event, StageMemory):
            self._peak = max(self._peak, event.peak_bytes)
            self._add("= peak of the stage", event.peak_bytes, event.resident_bytes)

    def _add(self, what: str, nbytes: int, held: int) -> None:
        self._most_held = max(self._most_held, held)
        seconds = f"{time.perf_counter() - self._began:.2f}"
        self._rows.append((seconds, self._stage, what, bytes_text(nbytes), bytes_text(held)))

    def text(self) -> str:
        """The table followed by the peak of the run; a single line if no model was used."""
        if not self._rows:
            return "memory: no models were used"
        table = [_HEADINGS, *self._rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
        lines = [_line(row, widths) for row in table]
        most = f"most weights held {bytes_text(self._most_held)}"
        return "\n".join([*lines, f"memory: peak {bytes_text(self._peak)}, {most}"])


def _line(row: Row, widths: list[int]) -> str:
    seconds, stage, what, size, held = row
    cells = [
        seconds.rjust(widths[0]),
        stage.ljust(widths[1]),
        what.ljust(widths[2]),
        size.rjust(widths[3]),
        held.rjust(widths[4]),
    ]
    return "  ".join(cells)
