"""Events for the eye and for programs: a line a stage with a bar while sampling, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runtime.events import (
    Event,
    Listener,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeReused,
    NodeStarted,
    ignore,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def listener(titles: Mapping[str, str | None], *, quiet: bool, as_json: bool) -> Iterator[Listener]:
    """The listener that the command line asked for.

    Progress goes to standard error, and only if that is a terminal; JSON lines go to standard output.
    """
    if as_json:
        yield print_json
    elif quiet or not sys.stderr.isatty():
        yield ignore
    else:
        with _progress() as progress:
            yield StageLines(progress, titles)


def print_json(event: Event) -> None:
    """One event as one line of JSON."""
    print(json.dumps(event.to_json(), ensure_ascii=False, default=str), flush=True)


class StageLines:
    """One line for each finished stage; a bar with seconds left for the one that counts steps."""

    def __init__(self, progress: Progress, titles: Mapping[str, str | None]) -> None:
        self.progress = progress
        self.titles = titles
        self.task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted):
            self.task = self.progress.add_task(self._name(event.node_id, event.class_type), total=None)
        elif isinstance(event, NodeProgress) and self.task is not None:
            self.progress.update(self.task, completed=event.value, total=event.maximum)
        elif isinstance(event, NodeFinished):
            self._end(f"[green]✓[/] {self._name(event.node_id, event.class_type)} [dim]{event.seconds:.2f} s[/]")
        elif isinstance(event, NodeReused):
            self._end(f"[green]=[/] {self._name(event.node_id, event.class_type)} [dim]{event.origin}[/]")
        elif isinstance(event, NodeErred):
            self._end(f"[red]✗[/] {self._name(event.node_id, event.class_type)}")

    def _name(self, node_id: str, class_type: str) -> str:
        from rich.markup import escape

        return f"{escape(self.titles.get(node_id) or class_type)} [dim]{escape(node_id)}[/]"

    def _end(self, line: str) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None
        self.progress.console.print(line)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeRemainingColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
