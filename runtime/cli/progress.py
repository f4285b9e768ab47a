"""How a run is shown: progress on standard error and results on standard output, or each event as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TextIO

from run_graph.runtime.cli.plain_lines import PlainLines
from run_graph.runtime.cli.stages import Detail, Stages
from run_graph.runtime.cli.terminal import discard_output, lenient, print_result
from run_graph.runtime.events import Event, Listener, ignore


@dataclass(frozen=True)
class Display:
    """What shows a run: a listener for its progress, and a function that prints one of its results."""

    on_event: Listener
    print_result: Callable[[str], None]


@contextmanager
def display(
    stages: Stages, detail: Detail, *, as_json: bool = False, program: str = "run-graph"
) -> Iterator[Display]:
    """The display that the command line asked for, for the time of a run.

    On a terminal, progress is a line for each finished stage and bars for what is running; elsewhere, lines.
    With ``as_json`` every event goes to standard output and nothing to standard error. Standard output is for
    results: what a node prints goes to standard error.

    Parameters
    ----------
    stages : mapping
        The nodes of the run, for their titles and the time left.
    detail : Detail
    as_json : bool
    program : str
        The name before each line.
    """
    results = _Results(sys.stdout)
    with redirect_stdout(lenient(sys.stderr)):
        if as_json:
            yield Display(JsonLines(results.stream), _print_nothing)
        elif detail is Detail.QUIET:
            yield Display(ignore, results.print)
        elif not _can_draw(sys.stderr):
            yield Display(PlainLines(stages, detail, program), results.print)
        else:
            from run_graph.runtime.cli.terminal_lines import StageLines, bars

            with bars() as shown:
                # On one terminal, a result is a line above the bars, and who draws them must print it.
                shared = _is_one_terminal(results.stream, sys.stderr)
                print_result = shown.print_text if shared else results.print
                yield Display(StageLines(shown, stages, detail), print_result)


def _can_draw(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _is_one_terminal(one: TextIO, other: TextIO) -> bool:
    try:
        return os.ttyname(one.fileno()) == os.ttyname(other.fileno())
    except OSError:  # one is no terminal
        return False


class _Results:
    """Prints results. If the reader goes away the run continues, because it writes files."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def print(self, text: str) -> None:
        """Print a text, now."""
        try:
            print_result(text, self.stream)
        except BrokenPipeError:
            discard_output(self.stream)


class JsonLines:
    """A listener that prints each event as one line of JSON."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._results = _Results(stream or sys.stdout)

    def __call__(self, event: Event) -> None:
        self._results.print(json.dumps(event.to_json(), ensure_ascii=False, default=str))


def _print_nothing(text: str) -> None:
    """With ``--json`` the events say it."""
