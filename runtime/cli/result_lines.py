"""What a run has made, on standard output: each file as soon as it is on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from run_graph.runtime.events import Event, FileSaved, NodeFinished, NodeReused, RunStarted


class ResultLines:
    """A listener that prints a line for each file, and for each other plain output of a target.

    Parameters
    ----------
    print_result : callable
        Prints one line.
    """

    def __init__(self, print_result: Callable[[str], None]) -> None:
        self._print_result = print_result
        self._targets: frozenset[str] = frozenset()
        self._printed: set[str] = set()  # files: a target's outputs name them again

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._targets = frozenset(event.targets)
        elif isinstance(event, FileSaved):
            self._printed.add(event.path)
            self._print_result(event.path)
        elif isinstance(event, NodeFinished | NodeReused) and event.node_id in self._targets:
            self._print_outputs(event.result)

    def _print_outputs(self, result: dict[str, Any]) -> None:
        for line in dict.fromkeys(_lines(result)):  # SaveImage's path is also the first of its paths
            if line not in self._printed:
                self._print_result(line)


def _lines(result: dict[str, Any]) -> Iterator[str]:
    for value in result.values():
        yield from map(str, value if isinstance(value, list) else [value])
