"""Running a plan's nodes one after another, as :mod:`runtime.engine.state` says they are ready.

Nodes that need no model (``runs_in_background``) run on a second thread, beside the nodes that follow them.
Everything else, all events and all bookkeeping stay on the caller's thread.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from run_graph.graph.declaration import outputs_class
from run_graph.graph.fingerprint import key_of, link_line
from run_graph.graph.node import Node, Outputs
from run_graph.graph.third_party import raise_if_interrupt
from run_graph.runtime.cache import Entry, NoCache, ResultCache
from run_graph.runtime.cache.serialization import digest_of
from run_graph.runtime.engine.background import BackgroundThread
from run_graph.runtime.engine.context import NodeContext, RunContext
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.engine.protocol import HasRoom
from run_graph.runtime.engine.run_node import (
    failure_of,
    lazy_inputs_needed,
    node_erred,
    node_finished,
    node_reused,
    run_node,
)
from run_graph.runtime.engine.state import RunState
from run_graph.runtime.engine.what_was_read import read_as_planned
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, NodeFinished, NodeInterrupted, NodeReused, NodeStarted

Values = dict[str, Any]
Result = TypeVar("Result")


class _BackgroundWork(NamedTuple):
    """A node that runs on the second thread, and those of its events that are still to be sent."""

    values: Values
    input_digest: str | None
    context: NodeContext
    events: deque[Event]


class _FailedBeside(BaseException):
    """What ended the run within a node that has nothing to do with it; not for the node to catch."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Executor:
    """One run of one plan (a :class:`runtime.engine.protocol.PlanExecutor`).

    Parameters
    ----------
    plan : Plan
    run_context : RunContext
    has_room : callable, optional
        See :class:`runtime.engine.state.RunState`. Default: memory holds one model at a time.

    Nothing that this holds leads back to it when the run is over. Without a cycle of references the whole
    run is freed as soon as its caller drops the result, not at some later garbage collection.
    """

    def __init__(self, plan: Plan, run_context: RunContext, has_room: HasRoom = lambda values: False) -> None:
        self.plan = plan
        self.run_context = run_context
        self.cache = run_context.cache
        self.emit = run_context.emit
        self.state = RunState(plan, partial(_valid_result, run_context.cache), has_room)
        self._keeps_results = not isinstance(run_context.cache, NoCache)
        # The keys of results that do not belong under the planned ones (see runtime.engine.what_was_read).
        self._other_keys: dict[str, str] = {}
        self._background: BackgroundThread[Outputs] = BackgroundThread()
        self._background_work: dict[str, _BackgroundWork] = {}
        self._duplicates: defaultdict[str, list[str]] = defaultdict(list)
        if len(plan.by_key) < len(plan.steps):
            for node_id, step in plan.steps.items():
                if node_id != step.node_id:
                    self._duplicates[step.node_id].append(node_id)

    def run(self) -> dict[str, Outputs]:
        """Compute the targets; what was finished before a failure is in the cache."""
        plan, state = self.plan, self.state
        self._announce_found(state.demand(state.targets))
        try:
            self._run_all()
        except BaseException:
            self._finish_background_work()
            raise
        finally:
            self._background.close()
        self.cache.run_completed(self._key(step) for step in plan.by_key.values() if step.node.is_output)
        return {target: state.values[plan.steps[target].node_id] for target in plan.targets}

    def pending_values(self) -> Iterator[Any]:
        """See :meth:`runtime.engine.state.RunState.pending_values`."""
        return self.state.pending_values()

    def _run_all(self) -> None:
        state = self.state
        while state.ready or self._background:
            self._stop_if_asked()
            if self._background:
                self._take_background_work(wait=not state.ready)
                if not state.ready:
                    continue
            self._advance(*state.next_ready())

    def _stop_if_asked(self) -> None:
        """Stop between two nodes; what is said names the one that would have run."""
        try:
            self.run_context.token.raise_if_cancelled()
        except Cancelled:
            if self.state.ready:
                step, _ = self.state.next_ready()
                self.emit(NodeInterrupted(step.node_id, 0, 0))
            raise

    def _advance(self, step: Step, values: Values) -> None:
        """Run a node, or let it wait for the lazy inputs that it turns out to need."""
        node_id = step.node_id
        if step.lazy and (names := self._guarded(step, values, lazy_inputs_needed, step, values)):
            self._announce_found(self.state.demand_lazy(node_id, names))
            return
        input_digest = self._input_digest(step, values)
        known = _valid_result(self.cache, input_digest, step.node) if input_digest is not None else None
        if known is not None:
            self._reuse(step, known)
            return
        self._run_step(step, values, input_digest)

    def _run_step(self, step: Step, values: Values, input_digest: str | None) -> None:
        """Run a node whose result is not known, here or beside what follows."""
        node_id, node = step.node_id, step.node
        beside = node.runs_in_background and self._has_other_work()
        if node.runs_in_background and not beside:
            while self._background:  # files are numbered in the order in which they are saved
                self._take_background_work(wait=True)
        self.emit(NodeStarted(node_id, node.class_type))
        if beside:
            self._begin_background_work(step, values, input_digest)
            return
        context = NodeContext(node_id, self._run_context_here(), self._snapshot_name(step, input_digest))
        started = time.perf_counter()
        try:
            outputs = self._guarded(step, values, run_node, node, values, context)
        except (Cancelled, KeyboardInterrupt):
            context.save_skipped_state()
            self.emit(NodeInterrupted(node_id, *context.kept))
            raise
        self._finish(step, input_digest, context, outputs, time.perf_counter() - started)

    def _has_other_work(self) -> bool:
        """Whether anything could run beside a node on the second thread."""
        return bool(self.state.ready)

    def _finish(
        self, step: Step, input_digest: str | None, context: NodeContext, outputs: Outputs, seconds: float
    ) -> None:
        node_id = step.node_id
        self.run_context.seconds[node_id] = seconds
        if self._keeps_results and not read_as_planned(step, context):
            self._other_keys[node_id] = key_of(f"{step.key}\n{secrets.token_hex()}")
            input_digest = None
        self.cache.put(Entry(self._key(step), outputs, input_digest, seconds, type(step.node)))
        if context.opened_snapshot is not None:
            self.run_context.seconds[node_id] += context.opened_snapshot.carried
            context.opened_snapshot.drop()
        self.state.finish(step, outputs)
        self._announce(node_finished(step, outputs, seconds), outputs)

    def _begin_background_work(self, step: Step, values: Values, input_digest: str | None) -> None:
        """Let a node run beside those that follow. All its events are sent from this thread."""
        events: deque[Event] = deque()
        run_context = replace(self.run_context, emit=events.append)
        context = NodeContext(step.node_id, run_context, self._snapshot_name(step, input_digest))
        self._background_work[step.node_id] = _BackgroundWork(values, input_digest, context, events)
        self._background.submit(step.node_id, lambda: run_node(step.node, values, context))

    def _take_background_work(self, *, wait: bool) -> None:
        """Take the finished results; one that failed ends the run as if it had failed here."""
        self._send_background_events()
        for node_id, result in self._background.results(wait=wait):
            self._send_background_events()
            step, work = self.plan.steps[node_id], self._background_work.pop(node_id)
            outputs, seconds = self._guarded(step, work.values, result)
            self._finish(step, work.input_digest, work.context, outputs, seconds)

    def _send_background_events(self) -> None:
        """Send what nodes on the second thread have reported so far, such as the files they have written."""
        for work in self._background_work.values():
            while work.events:
                self.emit(work.events.popleft())

    def _run_context_here(self) -> RunContext:
        """What a node on this thread gets: after each of its events, finished work of the second is taken.

        Otherwise a picture would be reported only when the next one has been sampled.
        """
        if not self._background:
            return self.run_context

        def emit(event: Event) -> None:
            self.emit(event)
            try:
                self._take_background_work(wait=False)
            except Exception as error:
                raise _FailedBeside(error) from None

        return replace(self.run_context, emit=emit)

    def _finish_background_work(self) -> None:
        """The run ends early: what has begun is finished, as it would have been without the thread."""
        while self._background:
            with suppress(NodeFailed, Cancelled):
                self._take_background_work(wait=True)

    def _input_digest(self, step: Step, values: Values) -> str | None:
        """What names the node by the values that it reads; None if its key does that already."""
        if not (values and self._keeps_results):
            return None
        input_digest = step.own
        for name, link in step.links.items():
            if name in values:
                source = digest_of(values[name]) or f"{self._key(self.plan.steps[link.node_id])} {link.slot}"
                input_digest += link_line(name, source)
        return input_digest

    def _key(self, step: Step) -> str:
        """A result's key: the planned one, or another if the node or one above it read other files."""
        if not self._other_keys:
            return step.key
        if step.node_id not in self._other_keys:
            changed = [
                link_line(name, self._other_keys[link.node_id])
                for name, link in step.links.items()
                if link.node_id in self._other_keys
            ]
            if not changed:
                return step.key
            self._other_keys[step.node_id] = key_of(step.key + "".join(changed))
        return self._other_keys[step.node_id]

    def _snapshot_name(self, step: Step, input_digest: str | None) -> str:
        """What names a node's resume state.

        An output node's files belong to its own workflow: others with the same values write their own.
        """
        return self._key(step) if input_digest is None or step.node.is_output else input_digest

    def _reuse(self, step: Step, outputs: Outputs) -> None:
        """Give a node the result that the same values led to before."""
        node_class = type(step.node)
        self.cache.put(Entry(self._key(step), outputs, node_class=node_class))
        self.state.finish(step, outputs)
        event = node_reused(step.node_id, node_class.class_type, "unchanged", outputs, step.key)
        self._announce(event, outputs)

    def _guarded(self, step: Step, values: Values, work: Callable[..., Result], *args: Any) -> Result:
        """Do some work of a node; what the node raises in it becomes a failure that names the node."""
        try:
            return work(*args)
        except Cancelled:
            raise
        except _FailedBeside as beside:
            raise beside.error from beside.error.__cause__
        except BaseException as raised:
            raise_if_interrupt(raised)
            self.run_context.token.raise_if_cancelled()  # the interrupt may have come out as another error
            failure = failure_of(step, values, raised)
            self.emit(node_erred(failure))
            try:
                raise failure from failure.__cause__
            finally:
                del failure  # or the error's traceback would lead back to the error, and to this run

    def _announce_found(self, found: dict[str, Outputs]) -> None:
        steps, emit, duplicates = self.plan.steps, self.emit, self._duplicates  # there may be thousands
        for node_id, outputs in found.items():
            step = steps[node_id]
            event = node_reused(node_id, step.node.class_type, "cache", outputs, step.key)
            if node_id in duplicates:
                self._announce(event, outputs)
            else:
                emit(event)

    def _announce(self, event: NodeFinished | NodeReused, outputs: Outputs) -> None:
        """Report a node's result, and those of its duplicates."""
        self.emit(event)
        for duplicate in self._duplicates.get(event.node_id, ()):
            self.emit(node_reused(duplicate, event.class_type, "duplicate", outputs, event.key))


def _valid_result(cache: ResultCache, name: str, node: Node) -> Outputs | None:
    """The result of an earlier run by key or input digest, if its node says that it is still valid."""
    outputs = cache.get(name, outputs_class(type(node)))
    return outputs if outputs is not None and node.is_still_valid(outputs) else None
