"""How a run is shown: one line for each stage and a bar while sampling, or each event as a line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from run_graph.runtime.cli.terminal import discard_output, print_message, print_result, visible
from run_graph.runtime.events import (
    Downloading,
    Event,
    Listener,
    NodeErred,
    NodeFinished,
    NodeProgress,
    NodeReused,
    NodeStarted,
    NodeWarned,
    ignore,
)
from run_graph.runtime.units import bytes_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def listener(titles: Mapping[str, str | None], *, quiet: bool, as_json: bool) -> Iterator[Listener]:
    """The listener that the command line asked for.

    Progress goes to standard error if that is a terminal; otherwise only warnings and downloads do.
    JSON lines go to standard output; anything that a node prints meanwhile goes to standard error.
    """
    if as_json:
        lines = JsonLines()
        with redirect_stdout(sys.stderr):
            yield lines
    elif quiet:
        yield ignore
    elif not sys.stderr.isatty():
        yield PlainLines()
    else:
        with _progress() as progress:
            yield StageLines(progress, titles)


class JsonLines:
    """Each event as one line of JSON. If the reader goes away the run continues, because it writes files."""

    def __init__(self) -> None:
        self.stream = sys.stdout

    def __call__(self, event: Event) -> None:
        line = json.dumps(event.to_json(), ensure_ascii=False, default=str)
        try:
            print_result(line, self.stream)
        except BrokenPipeError:
            discard_output(self.stream)


class PlainLines:
    """One line for each warning, and for each download before it begins: its size, and the free space."""

    def __init__(self) -> None:
        self.running = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeWarned):
            print_message(warning_text(event))
        elif isinstance(event, Downloading):
            if not self.running:
                print_message(download_text(event))
            self.running = event.done_bytes < event.total_bytes


def warning_text(event: NodeWarned) -> str:
    """A node's warning as one line."""
    return f"warning: node {event.node_id!r}: {event.message}"


def download_text(event: Downloading) -> str:
    """How much is about to be downloaded, from where, and how much space is free for it."""
    remaining = bytes_text(event.total_bytes - event.done_bytes)
    done = f", {bytes_text(event.done_bytes)} already downloaded" if event.done_bytes else ""
    free = f"{bytes_text(event.free_bytes)} free in {event.folder}"
    return f"downloading {remaining} of {event.repository} ({free}{done})"


class StageLines:
    """One line for each finished stage, and a bar with the time left for a stage that counts steps."""

    def __init__(self, progress: Progress, titles: Mapping[str, str | None]) -> None:
        self.progress = progress
        self.titles = titles
        self.tasks: dict[
            str, TaskID
        ] = {}  # by node id; several at once if a file is written while the next stage computes
        self.download: TaskID | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted):
            name = self._name(event.node_id, event.class_type)
            self.tasks[event.node_id] = self.progress.add_task(name, total=None)
        elif isinstance(event, NodeProgress) and event.node_id in self.tasks:
            self.progress.update(self.tasks[event.node_id], completed=event.value, total=event.maximum)
        elif isinstance(event, NodeWarned):
            self.progress.console.print(f"run-graph: {visible(warning_text(event))}", markup=False)
        elif isinstance(event, Downloading):
            self._show_download(event)
        elif isinstance(event, NodeFinished):
            self._end(
                event.node_id,
                f"[green]✓[/] {self._name(event.node_id, event.class_type)} [dim]{event.seconds:.2f} s[/]",
            )
        elif isinstance(event, NodeReused):
            self._end(
                event.node_id,
                f"[green]=[/] {self._name(event.node_id, event.class_type)} [dim]{event.origin}[/]",
            )
        elif isinstance(event, NodeErred):
            self._end(event.node_id, f"[red]✗[/] {self._name(event.node_id, event.class_type)}")

    def _name(self, node_id: str, class_type: str) -> str:
        from rich.markup import escape

        title = visible(self.titles.get(node_id) or class_type)
        return f"{escape(title)} [dim]{escape(visible(node_id))}[/]"

    def _show_download(self, event: Downloading) -> None:
        """A bar in megabytes below that of the stage, for as long as the download lasts."""
        if self.download is None:
            self.progress.console.print(download_text(event), markup=False)
            self.download = self.progress.add_task("[dim]megabytes[/]", total=event.total_bytes // 10**6)
        self.progress.update(self.download, completed=event.done_bytes // 10**6)
        if event.done_bytes >= event.total_bytes:
            self._end_download()

    def _end_download(self) -> None:
        if self.download is not None:
            self.progress.remove_task(self.download)
            self.download = None

    def _end(self, node_id: str, line: str) -> None:
        self._end_download()
        if node_id in self.tasks:
            self.progress.remove_task(self.tasks.pop(node_id))
        self.progress.console.print(line)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        speed_estimate_period=600,  # seconds; a step of a large picture may take a minute
    )
