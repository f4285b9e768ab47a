"""Running a plan's nodes one after another, as :mod:`runtime.engine.state` says they are ready.

Nodes that say that they compute with no model (``runs_in_background``) run on a second thread, beside the
nodes that follow them. Everything else, all events and all bookkeeping stay on the caller's thread.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar
from weakref import ReferenceType, ref

from pydantic import ValidationError

from run_graph.graph.declaration import inputs_of, outputs_class
from run_graph.graph.faults import suggestion
from run_graph.graph.fingerprint import link_line
from run_graph.graph.literal_faults import literal_faults
from run_graph.graph.node import Node, Outputs, validated
from run_graph.graph.registry import Registry
from run_graph.runtime.cache import NoCache, ResultCache
from run_graph.runtime.cache.serialization import digest_of
from run_graph.runtime.engine.background import BackgroundThread
from run_graph.runtime.engine.context import NodeContext, RunContext
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.engine.state import HasRoom, RunState
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, NodeErred, NodeFinished, NodeReused, NodeStarted, plain_values

Values = dict[str, Any]
Result = TypeVar("Result")


class _BackgroundWork(NamedTuple):
    """A node that runs on the second thread, and the events that it will have told."""

    values: Values
    input_digest: str | None
    context: NodeContext
    events: list[Event]


class Executor:
    """One run of one plan.

    Parameters
    ----------
    plan : Plan
    run_context : RunContext
    has_room : callable, optional
        See :class:`runtime.engine.state.RunState`. Default: memory holds one model at a time.

    Nothing that this holds leads back to it: without a cycle of references all of a run goes when its
    caller lets go of the result, not at some later collection.
    """

    def __init__(self, plan: Plan, run_context: RunContext, has_room: HasRoom = lambda values: False) -> None:
        self.plan = plan
        self.run_context = run_context
        self.cache = run_context.cache
        self.emit = run_context.emit
        self.state = RunState(plan, partial(_held, run_context.cache), has_room)
        self._has_input_digests = not isinstance(run_context.cache, NoCache)
        self._beside: BackgroundThread[Outputs] = BackgroundThread()
        self._background_work: dict[str, _BackgroundWork] = {}
        self._copies: defaultdict[str, list[str]] = defaultdict(list)
        if len(plan.by_key) < len(plan.steps):
            for node_id, step in plan.steps.items():
                if node_id != step.node_id:
                    self._copies[step.node_id].append(node_id)

    def run(self) -> dict[str, Outputs]:
        """Compute the targets.

        Returns
        -------
        dict
            The outputs of each target, by the id that the caller named.

        Raises
        ------
        NodeFailed
            If a node raised; what was finished is in the cache.
        Cancelled, KeyboardInterrupt
            If the run was stopped.
        """
        plan, state = self.plan, self.state
        self._announce_found(state.demand(state.targets))
        try:
            self._run_all()
        except BaseException:
            self._finish_background_work()
            raise
        finally:
            self._beside.close()
        self.cache.run_completed(key for key, step in plan.by_key.items() if step.node.is_output)
        return {target: state.values[plan.steps[target].node_id] for target in plan.targets}

    def _run_all(self) -> None:
        state = self.state
        while state.ready or self._beside:
            self.run_context.token.raise_if_cancelled()
            if self._beside:
                self._take_background_work(wait=not state.ready)
                if not state.ready:
                    continue
            self._advance(*state.next_ready())

    def _advance(self, step: Step, values: Values) -> None:
        """Run a node, or let it wait for the lazy inputs that it turns out to need."""
        node_id, node = step.node_id, step.node
        if step.lazy and (names := self._guarded(step, values, _lazy_inputs_needed, step, values)):
            self._announce_found(self.state.demand_lazy(node_id, names))
            return
        input_digest = self._input_digest(step, values)
        known = _held(self.cache, input_digest, node) if input_digest is not None else None
        if known is not None:
            self._reuse(step, known)
            return
        self.emit(NodeStarted(node_id, node.class_type))
        if node.runs_in_background and self.state.ready:  # otherwise there is nothing to do meanwhile
            self._begin_background_work(step, values, input_digest)
            return
        context = NodeContext(node_id, self.run_context, _snapshot_name(step, input_digest))
        started = time.perf_counter()
        outputs = self._guarded(step, values, _computed, node, values, context)
        self._finish(step, input_digest, context, outputs, time.perf_counter() - started)

    def _finish(
        self, step: Step, input_digest: str | None, context: NodeContext, outputs: Outputs, seconds: float
    ) -> None:
        node_id, node_class = step.node_id, type(step.node)
        self.run_context.seconds[node_id] = seconds
        self.cache.put(step.key, outputs, input_digest, seconds, node_class)
        if context.opened_snapshot is not None:
            self.run_context.seconds[node_id] += context.opened_snapshot.carried
            context.opened_snapshot.drop()
        self.state.finish(step, outputs)
        self._announce(NodeFinished(node_id, node_class.class_type, seconds, *_told(outputs)), outputs)

    def _begin_background_work(self, step: Step, values: Values, input_digest: str | None) -> None:
        """Let a node run beside those that follow. All its events are told on this thread."""
        events: list[Event] = []
        run_context = replace(self.run_context, emit=events.append)
        context = NodeContext(step.node_id, run_context, _snapshot_name(step, input_digest))
        self._background_work[step.node_id] = _BackgroundWork(values, input_digest, context, events)
        self._beside.submit(step.node_id, lambda: _computed(step.node, values, context))

    def _take_background_work(self, *, wait: bool) -> None:
        """Take the results that are there; one that failed ends the run as if it had failed here."""
        for node_id, result in self._beside.results(wait=wait):
            step, work = self.plan.steps[node_id], self._background_work.pop(node_id)
            for event in work.events:
                self.emit(event)
            outputs, seconds = self._guarded(step, work.values, result)
            self._finish(step, work.input_digest, work.context, outputs, seconds)

    def _finish_background_work(self) -> None:
        """The run is over early: what had begun is finished, as it would have been without the thread."""
        while self._beside:
            with suppress(NodeFailed, Cancelled):
                self._take_background_work(wait=True)

    def _input_digest(self, step: Step, values: Values) -> str | None:
        """What names the node by the values that it reads; None if its key says as much."""
        if not (values and self._has_input_digests):
            return None
        input_digest = step.own
        for name, link in step.links.items():
            if name in values:
                source = digest_of(values[name]) or f"{self.plan.steps[link.node_id].key} {link.slot}"
                input_digest += link_line(name, source)
        return input_digest

    def _reuse(self, step: Step, outputs: Outputs) -> None:
        """Give a node the result that the same values led to before."""
        node_class = type(step.node)
        self.cache.put(step.key, outputs, node_class=node_class)
        self.state.finish(step, outputs)
        self._announce(NodeReused(step.node_id, node_class.class_type, "unchanged", *_told(outputs)), outputs)

    def _guarded(self, step: Step, values: Values, work: Callable[..., Result], *args: Any) -> Result:
        """Do some work of a node; what the node raises in it becomes a failure that names the node."""
        try:
            return work(*args)
        except Cancelled:
            raise
        except (Exception, SystemExit) as raised:
            # A node that calls sys.exit fails like any other: it must not end its caller's process.
            error = RuntimeError(f"SystemExit: {raised}") if isinstance(raised, SystemExit) else raised
            node_id, node = step.node_id, step.node
            failure = NodeFailed(node_id, node.class_type, {**node.__dict__, **values}, error)
            self.emit(NodeErred(node_id, node.class_type, type(error).__name__, failure.reason))
            raise failure from error

    def _announce_found(self, found: dict[str, Outputs]) -> None:
        steps, emit, copies = self.plan.steps, self.emit, self._copies  # there may be thousands
        for node_id, outputs in found.items():
            event = NodeReused(node_id, steps[node_id].node.class_type, "cache", *_told(outputs))
            if node_id in copies:
                self._announce(event, outputs)
            else:
                emit(event)

    def _announce(self, event: NodeFinished | NodeReused, outputs: Outputs) -> None:
        """Tell of a node's result, and of its duplicates'."""
        self.emit(event)
        for copy in self._copies.get(event.node_id, ()):
            self.emit(NodeReused(copy, event.class_type, "duplicate", *_told(outputs)))


def _snapshot_name(step: Step, input_digest: str | None) -> str:
    """What names a node's half-done work.

    An output node's files are its own workflow's: another with the same values writes others.
    """
    return step.key if input_digest is None or step.node.is_output else input_digest


def _lazy_inputs_needed(step: Step, values: Values) -> list[str]:
    node, lazy = step.node, step.lazy
    if lazy.keys() <= values.keys():
        return []
    asked = node.model_copy(update=values).required_lazy_inputs()
    if isinstance(asked, str):
        raise TypeError(f"required_lazy_inputs must return a collection of input names, not {asked!r}")
    asked, names = tuple(asked), inputs_of(type(node))
    for name in asked:
        if name not in names:
            advice = suggestion(name, names, f"Inputs are {', '.join(names)}.")
            raise ValueError(f"required_lazy_inputs named {name!r}, which is no input. {advice}")
    return [name for name in asked if name in lazy and name not in values]


def _held(cache: ResultCache, name: str, node: Node) -> Outputs | None:
    """The result of an earlier run by key or input_digest, if its node says that it still stands."""
    outputs = cache.get(name, outputs_class(type(node)))
    return outputs if outputs is not None and node.is_still_valid(outputs) else None


def _computed(node: Node, values: Values, context: NodeContext) -> Outputs:
    """Run a node on these values of its links."""
    node_class = type(node)
    if values:
        # Checked again: a parameter fed by a link obeys its range, a socket its class.
        try:
            node = validated(node_class, {**node.__dict__, **values})
        except ValidationError as error:
            faults = literal_faults(error, node_class, Registry())
            raise ValueError("; ".join(str(fault) for fault in faults)) from None
    outputs = node.run(context)
    expected = outputs_class(node_class)
    if not isinstance(outputs, expected):
        raise TypeError(f"run returned {type(outputs).__name__}, not {expected.__name__}")
    return outputs


def _told(outputs: Outputs) -> tuple[dict[str, Any], ReferenceType[Outputs]]:
    """What an event says of a result: the outputs that are plain JSON values, and a way to all of them."""
    return plain_values(outputs), ref(outputs)
