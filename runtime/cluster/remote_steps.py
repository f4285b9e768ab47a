"""The steps of a run that are, or will be, on workers."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from run_graph.graph.node import Outputs
from run_graph.runtime.cache import NoCache
from run_graph.runtime.cluster.errors import ClusterError
from run_graph.runtime.cluster.local_models import with_pinned_models
from run_graph.runtime.cluster.messages import Began, Outcome, Report, SavedState, Task
from run_graph.runtime.cluster.model_use import ModelUse
from run_graph.runtime.cluster.news import Done, Joined, Lost, News, Refused, Reported
from run_graph.runtime.cluster.placement import Place, Placement
from run_graph.runtime.cluster.shipped_states import NewestStates
from run_graph.runtime.cluster.wire import pack, unpack
from run_graph.runtime.cluster.work import Connection, Result, Work
from run_graph.runtime.engine.context import NodeContext, RunContext
from run_graph.runtime.engine.executor import Values
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.engine.run_node import failure_of
from run_graph.runtime.events import (
    NodeInterrupted,
    NodeProgress,
    NodeStarted,
    NodeWarned,
    WorkerNote,
)
from run_graph.runtime.models.budget import estimate
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey, needed_by
from run_graph.runtime.models.hub import is_offline

ATTEMPTS = 3  # workers that a step may lose before it counts as their killer
PATIENCE = 60.0  # seconds without any worker
REFUSED = 3.0  # seconds for a better worker than those that were refused


class RemoteSteps:
    """Gives steps to workers, and reports what they report; true while there are any.

    Parameters
    ----------
    run_context : RunContext
    connect : callable
        Given the run's name, returns an open :class:`Connection`.
    plan : Plan
    """

    def __init__(self, run_context: RunContext, connect: Callable[[str], Connection], plan: Plan) -> None:
        # A node that has to begin again goes on from its newest state, even if the cache does not keep it.
        self.run_context = replace(run_context, cache=NewestStates(run_context.cache))
        self.emit = run_context.emit
        self._keeps_results = not isinstance(run_context.cache, NoCache)
        self._connect = connect
        self._link: Connection | None = None
        self._run = secrets.token_hex(8)
        self._placement = Placement()
        self._use = ModelUse(plan, self._placement.needed)
        self._work: dict[str, Work] = {}
        self._reported: dict[str, int] = {}  # by worker, the highest number of its reports
        self._waiting_since: float | None = None
        self._refused: dict[str, str] = {}
        self._other_devices: dict[str, str] = {}  # by worker, if its results are not as this machine's
        self._sizes: dict[ComponentKey, int] = {}

    def __bool__(self) -> bool:
        return bool(self._work)

    def add(
        self, step: Step, values: Values, key: str, input_digest: str | None, context: NodeContext
    ) -> None:
        """A step is ready, and its result is not known."""
        if self._link is None:
            self._link = self._connect(self._run)
            self._waiting_since = time.monotonic()
        values = with_pinned_models(values)
        models = {key.base: checkpoint for key, checkpoint in needed_by(values.values()).items()}
        self._work[step.node_id] = work = Work(step, values, key, input_digest, context, models)
        self._queue(work)

    def note_models(self, step: Step, outputs: Outputs) -> None:
        """A step has a result, here or on a worker."""
        self._use.ended(step, outputs)

    def results(self, seconds: float) -> Iterator[Result]:
        """Place steps on workers, and take what workers tell: the steps that have ended.

        Waits up to so many seconds for something. Raises ClusterError if there is no worker for too long.
        """
        if self._link is None:
            return
        self._place()
        with suppress(queue.Empty):
            while True:
                news = self._link.news.get(block=seconds > 0, timeout=seconds)
                seconds = 0  # the rest is taken as it is
                yield from self._heed(news)
        self._check_workers()
        self._place()

    def stop(self) -> None:
        """The run ends early: tell the workers, take the states that they have sent, report what is kept."""
        if self._link is None:
            return
        self._link.stop()
        with suppress(queue.Empty):
            while True:
                news = self._link.news.get_nowait()
                if isinstance(news, Reported):
                    self._keep_states(news.reports)
                elif isinstance(news, Done) and news.finished is not None:
                    self._keep_states(news.finished.reports)
        for node_id, work in self._work.items():
            if work.started:
                work.context.save_skipped_state()
                self.emit(NodeInterrupted(node_id, *work.context.kept))

    def close(self) -> None:
        """Disconnect."""
        if self._link is not None:
            self._link.close()

    def _queue(self, work: Work) -> None:
        work.attempt = work.worker = ""
        step = work.step
        place = Place(step.depth, step.position, step.node_id, step.node.class_type)
        self._placement.add(place, {key: self._size(key, work.models[key]) for key in work.models})

    def _size(self, key: ComponentKey, checkpoint: Checkpoint) -> int:
        if key not in self._sizes:
            self._sizes[key] = estimate(key, checkpoint)
        return self._sizes[key]

    def _place(self) -> None:
        for worker, node_id in self._placement.assignments():
            self._send(self._work[node_id], worker)

    def _send(self, work: Work, worker: str) -> None:
        assert self._link is not None
        work.attempt, work.worker = f"{self._run}-{secrets.token_hex(6)}", worker
        work.other_device = self._other_devices.get(worker)
        run = self.run_context
        task = Task(
            work.attempt,
            self._run,
            work.step,
            work.values,
            work.key,
            work.input_digest,
            # What one device has begun another must not finish: the result would be neither's.
            None if work.other_device else work.context.resume_state(),
            run.environment_of(work.step.node_id),
            {checkpoint: checkpoint.identity for checkpoint in work.models.values()},
            Path.home(),
            self._keeps_results,
            run.strict,
            is_offline(),
        )
        self._link.submit(worker, work.attempt, pack(task))

    def _heed(self, news: News) -> Iterator[Result]:
        if isinstance(news, Reported):
            self._heed_reports(news.worker, news.reports)
        elif isinstance(news, Done):
            yield from self._take(news)
        elif isinstance(news, Joined):
            self._waiting_since = None
            self._refused.pop(news.worker, None)
            self._other_devices.pop(news.worker, None)
            if news.other_device is not None:
                self._other_devices[news.worker] = news.other_device
            self._placement.join(news.worker, news.facts.memory_limit, news.facts.resident)
        elif isinstance(news, Refused):
            self._refused[news.worker] = news.why
            self.emit(WorkerNote(news.worker, f"this worker is not used: {news.why}"))
        elif isinstance(news, Lost):
            yield from self._lose(news.worker, news.why)
        elif news.error is not None:
            raise news.error
        else:
            assert self._link is not None
            self.emit(WorkerNote(self._link.address, "the scheduler is gone; waiting for it to come back"))

    def _heed_reports(self, worker: str, reports: Sequence[Report]) -> None:
        for report in reports:
            if report.number <= self._reported.get(worker, 0):
                continue
            self._reported[worker] = report.number
            work = next((work for work in self._work.values() if work.attempt == report.task), None)
            if work is not None:
                self._heed_report(work, unpack(report.content))

    def _heed_report(self, work: Work, content: Any) -> None:
        if isinstance(content, Began):
            if not work.started:
                work.started = True
                self.emit(NodeStarted(work.step.node_id, work.step.node.class_type))
        elif isinstance(content, SavedState):
            self._keep_state(work, content)
        elif isinstance(content, NodeProgress):
            work.context.progress(content.value, content.maximum, content.preview, content.picture)
        elif isinstance(content, NodeWarned):
            work.context.warn(content.message)
        else:
            self.emit(content)

    def _take(self, done: Done) -> Iterator[Result]:
        if done.finished is not None:
            self._heed_reports(done.worker, done.finished.reports)
        work = next((work for work in self._work.values() if work.attempt == done.task), None)
        if work is None:
            return  # it was lost, and has been given to another worker
        if done.finished is None:
            self._placement.ended(done.worker, work.step.node_id, {}, None)
            yield from self._again(work, done.why)
            return
        if done.finished.outcome is None:
            why = f"the worker {done.worker} cannot read it: {done.finished.problem}"
            yield self._failed(work, RuntimeError(why))
            return
        outcome: Outcome = unpack(done.finished.outcome)
        computed = outcome.outputs is not None and not outcome.was_known
        self._placement.ended(
            done.worker, work.step.node_id, outcome.resident, outcome.seconds if computed else None
        )
        if outcome.failure is not None:
            del self._work[work.step.node_id]
            yield Result(work, None, outcome.failure)
        elif outcome.outputs is None:  # the worker stopped it, such as when it lost its scheduler
            yield from self._again(work, "its worker stopped it")
        else:
            del self._work[work.step.node_id]
            work.context.reads.update(outcome.reads)
            yield Result(work, outcome.outputs, None, outcome.was_known, outcome.seconds)

    def _lose(self, worker: str, why: str) -> Iterator[Result]:
        """A worker is gone: what it was running is run again elsewhere."""
        self._reported.pop(worker, None)
        if not self._placement.seats:
            return
        for node_id in self._placement.leave(worker):
            work = self._work[node_id]
            work.lost += work.started
            yield from self._again(work, f"the worker {worker} was lost: {why}")
        if not self._placement.seats:
            self._waiting_since = time.monotonic()

    def _again(self, work: Work, why: str) -> Iterator[Result]:
        if work.lost >= ATTEMPTS:
            yield self._failed(work, RuntimeError(f"{why}; that was the third worker that it was run on"))
            return
        self.emit(NodeWarned(work.step.node_id, f"{why}; the stage is run again"))
        self._queue(work)

    def _failed(self, work: Work, error: Exception) -> Result:
        del self._work[work.step.node_id]
        return Result(work, None, failure_of(work.step, work.values, error))

    def _keep_states(self, reports: Sequence[Report]) -> None:
        for report in reports:
            work = next((work for work in self._work.values() if work.attempt == report.task), None)
            content = unpack(report.content) if work is not None else None
            if work is not None and isinstance(content, SavedState):
                self._keep_state(work, content)

    def _keep_state(self, work: Work, state: SavedState) -> None:
        if not work.other_device:
            work.context.save_state(**state.items)

    def _check_workers(self) -> None:
        """Give up if there has been no worker for too long. Raises ClusterError."""
        if self._waiting_since is None or self._placement.seats or not self._work:
            return
        assert self._link is not None
        waited = time.monotonic() - self._waiting_since
        if waited > (REFUSED if self._refused else PATIENCE):
            raise ClusterError(self._no_worker(self._link.address))

    def _no_worker(self, address: str) -> str:
        if self._refused:
            reasons = "; ".join(f"{worker}: {why}" for worker, why in self._refused.items())
            return f"no worker of {address} can be used. {reasons}"
        return f"there is no worker at {address}; start one with `run-graph worker {address}`"
