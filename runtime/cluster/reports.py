"""What a worker's tasks report, kept until the client has it.

The client asks for reports again and again, and says which it has; those are dropped. What it has not heard
of comes back with the task's result, so that nothing is lost when an answer is.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import replace

from run_graph.runtime.cluster.messages import Report, SavedState
from run_graph.runtime.cluster.wire import pack
from run_graph.runtime.events import NodeProgress


class Reports:
    """The reports of one run's tasks on this worker. Tasks add on their thread, dask's loop takes."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Report, object]] = []
        self._handed_out = 0  # the highest number that the client was sent
        self._number = 0
        self._lock = threading.Lock()
        self._waker: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.heard = time.monotonic()

    def add(self, task: str, content: object) -> None:
        """Keep a report for the client. What it replaces and was not sent yet is left out."""
        with self._lock:
            self._thin_out(task, content)
            self._number += 1
            self._waiting.append((Report(self._number, task, pack(content)), _summary(content)))
            if self._waker is not None:
                loop, event = self._waker
                loop.call_soon_threadsafe(event.set)

    def take(self, task: str) -> tuple[Report, ...]:
        """The reports of a task that has ended, as far as the client may not have them."""
        with self._lock:
            taken = [report for report, _ in self._waiting if report.task == task]
            self._waiting = [each for each in self._waiting if each[0].task != task]
        return tuple(taken)

    async def next(self, known: int, seconds: float) -> list[Report]:
        """The reports behind number ``known``, as soon as there are any; none after so many seconds."""
        self.heard = time.monotonic()
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting = [each for each in self._waiting if each[0].number > known]
            self._waker = loop, event
            if self._waiting:
                event.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
        with self._lock:
            self._waker = None
            if self._waiting:
                self._handed_out = self._waiting[-1][0].number
            return [report for report, _ in self._waiting]

    def _thin_out(self, task: str, content: object) -> None:
        """Leave out an older state, and older previews: the newest is all that is wanted."""
        if isinstance(content, SavedState):
            self._waiting = [each for each in self._waiting if not self._is_old(each, task, SavedState)]
        elif isinstance(content, NodeProgress):
            self._waiting = [
                (replace(each[0], content=pack(each[1])), None)
                if self._is_old(each, task, NodeProgress)
                else each
                for each in self._waiting
            ]

    def _is_old(self, each: tuple[Report, object], task: str, kind: type) -> bool:
        report, summary = each
        return report.task == task and report.number > self._handed_out and isinstance(summary, kind)


def _summary(content: object) -> object:
    """What is remembered of a report beside its parcel while its large parts may still be left out."""
    if isinstance(content, NodeProgress) and content.preview is not None:
        return NodeProgress(content.node_id, content.value, content.maximum)
    return SavedState({}) if isinstance(content, SavedState) else None
