"""Running a plan with heavy nodes on a dask cluster's workers, and everything else here.

The plan, the cache, the files and the order of events are as with
:class:`runtime.engine.executor.Executor`, from which this differs in two ways:

- A heavy node becomes a task (:mod:`runtime.cluster.remote_steps`), beside which others run here and
  elsewhere.
- Output nodes run in the plan's order, so that files get the same numbers as on one machine, whichever
  picture is finished first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from run_graph.graph.fingerprint import key_of
from run_graph.graph.node import Node, Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.runtime.cluster.remote_steps import RemoteSteps
from run_graph.runtime.cluster.work import Connection
from run_graph.runtime.engine.context import NodeContext, RunContext
from run_graph.runtime.engine.executor import Executor, Values
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.engine.protocol import HasRoom
from run_graph.runtime.engine.run_node import node_erred
from run_graph.runtime.errors import NodeFailed

_IDLE = 0.5  # seconds between two looks at whether the run was cancelled
_BESIDE = 0.02  # the same while a picture is written here


def runs_elsewhere(step: Step, values: Values) -> bool:
    """Whether a step is worth sending to a worker: it computes with models, or its class says so.

    Output nodes write files, which one process does. A node that depends on files of this machine stays too.
    """
    node_class = type(step.node)
    if node_class.is_output:
        return False
    if node_class.heavy is not None:
        return node_class.heavy
    if node_class.forwards_models or node_class.fingerprint is not Node.fingerprint:
        return False
    return any(isinstance(value, SocketValue) and value.affinity is not None for value in values.values())


class ClusterExecutor(Executor):
    """One run of one plan on a cluster (a :class:`runtime.engine.protocol.PlanExecutor`).

    Parameters
    ----------
    plan : Plan
    run_context : RunContext
    has_room : callable
    connect : callable
        Given the run's name, returns its :class:`runtime.cluster.link.Link`. Called when the first step is to
        run elsewhere: a run that finds all its results needs no cluster.
    """

    def __init__(
        self, plan: Plan, run_context: RunContext, has_room: HasRoom, connect: Callable[[str], Connection]
    ) -> None:
        super().__init__(plan, run_context, has_room)
        self._remote = RemoteSteps(run_context, connect, plan)
        self._outputs = sorted(
            (step for step in plan.by_key.values() if step.node.is_output),
            key=lambda step: (step.depth, step.position),
        )
        self._rank = {step.node_id: rank for rank, step in enumerate(self._outputs)}
        self._turn = 0  # the rank of the first output step that is wanted and has not begun
        self._begun: set[str] = set()
        self._held: dict[str, Values] = {}  # output steps whose turn has not come, with their inputs
        self._same: dict[str, list[tuple[Step, Values]]] = {}  # by input digest, steps equal to a running one

    def _run_all(self) -> None:
        state, remote = self.state, self._remote
        try:
            while state.ready or self._background or remote or self._held:
                self.run_context.token.raise_if_cancelled()
                if self._background:
                    self._take_background_work(wait=False)
                if state.ready:
                    self._advance(*state.next_ready())
                    self._take_results(0)
                elif not self._next_output():
                    self._take_results(_BESIDE if self._background else _IDLE)
        except BaseException:
            with suppress(KeyboardInterrupt):
                remote.stop()
            raise
        finally:
            remote.close()

    def _advance(self, step: Step, values: Values) -> None:
        if step.node.is_output and not self._is_its_turn(step):
            self._held[step.node_id] = values
            return
        super()._advance(step, values)

    def _run_step(self, step: Step, values: Values, input_digest: str | None) -> None:
        if not runs_elsewhere(step, values):
            self._begun.add(step.node_id)
            super()._run_step(step, values, input_digest)
            return
        if input_digest is not None:
            if input_digest in self._same:  # its result will be this one's
                self._same[input_digest].append((step, values))
                return
            self._same[input_digest] = []
        context = NodeContext(step.node_id, self._remote.run_context, self._snapshot_name(step, input_digest))
        self._remote.add(step, values, self._key(step), input_digest, context)

    def _has_other_work(self) -> bool:
        return bool(self.state.ready or self._remote)

    def _take_results(self, seconds: float) -> None:
        """Take what workers have told; wait so long for something."""
        for result in self._remote.results(seconds):
            work, step = result.work, result.work.step
            digest = work.input_digest
            if result.failure is not None:
                self._fail(result.failure)
            assert result.outputs is not None
            if work.other_device is not None:  # kept under another key than this machine's result
                self._other_keys[step.node_id] = key_of(f"{work.key}\n{work.other_device}")
                work.input_digest = None
            if result.was_known:
                if work.context.opened_snapshot is not None:  # of an attempt that was lost with its worker
                    work.context.opened_snapshot.drop()
                self._reuse(step, result.outputs)
            else:
                self._finish(step, work.input_digest, work.context, result.outputs, result.seconds)
            for again in self._same.pop(digest or "", ()):
                self._advance(*again)

    def _reuse(self, step: Step, outputs: Outputs) -> None:
        self._begun.add(step.node_id)
        super()._reuse(step, outputs)
        self._remote.note_models(step, outputs)

    def _finish(
        self, step: Step, input_digest: str | None, context: NodeContext, outputs: Outputs, seconds: float
    ) -> None:
        super()._finish(step, input_digest, context, outputs, seconds)
        self._remote.note_models(step, outputs)

    def _fail(self, failure: NodeFailed) -> None:
        self.emit(node_erred(failure))
        try:
            raise failure from failure.__cause__
        finally:
            del failure

    def _announce_found(self, found: dict[str, Outputs]) -> None:
        self._begun |= found.keys()
        for node_id, outputs in found.items():
            self._remote.note_models(self.plan.steps[node_id], outputs)
        super()._announce_found(found)

    def _is_its_turn(self, step: Step) -> bool:
        """Whether all output steps before it have begun, or are not wanted (yet)."""
        self._skip_begun()
        return self._rank[step.node_id] <= self._turn

    def _next_output(self) -> bool:
        """Run the output step whose turn it is, if its inputs are there. Returns whether it was."""
        self._skip_begun()
        if self._turn == len(self._outputs):
            return False
        step = self._outputs[self._turn]
        if step.node_id not in self._held:
            return False
        super()._advance(step, self._held.pop(step.node_id))
        return True

    def _skip_begun(self) -> None:
        while self._turn < len(self._outputs):
            first = self._outputs[self._turn].node_id
            if first in self.state.demanded and first not in self._begun:
                return
            self._turn += 1
