"""A worker's side: one session for the process, which keeps models and results and runs a node at a time.

dask calls the functions at the end of this module. Nodes run on one thread of the session, whichever of its
threads dask uses, because MLX's arrays belong to the thread that makes them.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from run_graph.graph.declaration import outputs_class
from run_graph.graph.node import Outputs
from run_graph.graph.third_party import described, raise_if_interrupt
from run_graph.runtime.cache import Entry, NoCache, ResultCache
from run_graph.runtime.cluster.local_models import with_local_models
from run_graph.runtime.cluster.messages import Began, Finished, Outcome, SavedState, Task, WorkerFacts
from run_graph.runtime.cluster.reports import Reports
from run_graph.runtime.cluster.shipped_states import ShippedState, ShippedStateOnly
from run_graph.runtime.cluster.wire import Parcel, pack, unpack
from run_graph.runtime.current_run import serving
from run_graph.runtime.engine.context import CancelToken, NodeContext, RunContext
from run_graph.runtime.engine.run_node import failure_of, node_finished, run_node
from run_graph.runtime.engine.services import Services
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, Listener, NodeResumed
from run_graph.runtime.models.hub import offline
from run_graph.runtime.models.store import ModelStore

# A client that lives asks for reports every few seconds. After this time without a sign of it, a node stops.
ORPHANED = 30.0  # seconds
_RUNS = 20  # whose reports are remembered


class _Token(CancelToken):
    """Stops a node also when its client has gone."""

    def __init__(self, reports: Reports) -> None:
        super().__init__()
        self._reports = reports

    def raise_if_cancelled(self) -> None:
        if time.monotonic() - self._reports.heard > ORPHANED:
            self.cancel()
        super().raise_if_cancelled()


@dataclass(frozen=True, eq=False)
class _View:
    """What services can see of a task (:class:`runtime.current_run.RunView`)."""

    emit: Listener
    values: tuple[Any, ...]

    def pending_values(self) -> Iterator[Any]:
        yield from self.values


class WorkerSession:
    """Runs tasks; keeps models and results from one to the next.

    Parameters
    ----------
    store : ModelStore, optional
    cache : ResultCache, optional
        Where results are kept on this worker. Default: nowhere; the client keeps them in any case.
    """

    def __init__(self, store: ModelStore | None = None, cache: ResultCache | None = None) -> None:
        self.name = secrets.token_hex(8)
        self.store = store or ModelStore()
        self.cache = NoCache() if cache is None else cache
        self.services = Services(self.store)
        self._thread = ThreadPoolExecutor(1, "run-graph")
        self._reports: OrderedDict[str, Reports] = OrderedDict()
        self._stopped: OrderedDict[str, None] = OrderedDict()
        self._tokens: dict[str, tuple[str, CancelToken]] = {}
        self._lock = threading.Lock()

    def facts(self) -> WorkerFacts:
        """What this worker is, for a client."""
        from run_graph.runtime.cache.environment import environment_facts
        from run_graph.runtime.mlx_backend import mlx_fault

        if (fault := mlx_fault()) is not None:
            return WorkerFacts(self.name, {}, problem=fault)
        limit = 0 if self.store.low_ram else self.store.memory_limit
        return WorkerFacts(self.name, environment_facts(), dict(self.store.resident()), limit)

    def run(self, parcel: Parcel) -> Finished:
        """Run a task on the session's thread, and wait for it."""
        return self._thread.submit(self._run, parcel).result()

    def reports(self, run: str) -> Reports:
        """The reports of a run's tasks."""
        with self._lock:
            reports = self._reports.setdefault(run, Reports())
            self._reports.move_to_end(run)
            while len(self._reports) > _RUNS:
                self._reports.popitem(last=False)
        return reports

    def stop(self, run: str | None = None) -> None:
        """Stop the run's tasks, now and in future; without a name, those that run now."""
        with self._lock:
            if run is not None:
                self._stopped[run] = None
                while len(self._stopped) > _RUNS:
                    self._stopped.popitem(last=False)
            for of_run, token in self._tokens.values():
                if run in (None, of_run):
                    token.cancel()

    def _run(self, parcel: Parcel) -> Finished:
        try:
            task: Task = unpack(parcel)
        except BaseException as error:
            raise_if_interrupt(error)
            return Finished((), None, described(error))
        reports = self.reports(task.run)
        reports.heard = time.monotonic()
        token = _Token(reports)
        with self._registered(task, token):
            try:
                outcome = pack(self._outcome(task, reports, token))
            except BaseException as error:  # outputs that cannot travel
                raise_if_interrupt(error)
                outcome = pack(Outcome(failure=failure_of(task.step, task.values, error)))
        return Finished(reports.take(task.name), outcome)

    @contextmanager
    def _registered(self, task: Task, token: CancelToken) -> Iterator[None]:
        with self._lock:
            self._tokens[task.name] = task.run, token
            if task.run in self._stopped:
                token.cancel()
        try:
            yield
        finally:
            with self._lock:
                del self._tokens[task.name]

    def _outcome(self, task: Task, reports: Reports, token: CancelToken) -> Outcome:
        def send(content: Event | SavedState | Began) -> None:
            if not isinstance(content, NodeResumed):  # the client knows what it sent
                reports.add(task.name, content)

        values, started = task.values, time.perf_counter()
        try:
            token.raise_if_cancelled()
            if (known := self._known(task)) is not None:
                return Outcome(known, was_known=True, resident=dict(self.store.resident()))
            send(Began())
            with offline(task.offline):
                values = with_local_models(task.values, task.identities, task.home)
                outputs, reads = self._computed(task, values, send, token)
        except Cancelled:
            return Outcome(resident=dict(self.store.resident()))
        except BaseException as raised:
            raise_if_interrupt(raised)
            return Outcome(failure=failure_of(task.step, values, raised))
        seconds = time.perf_counter() - started
        if task.keeps_results:
            self.cache.put(Entry(task.key, outputs, task.input_digest, seconds, type(task.step.node)))
        return Outcome(outputs, seconds=seconds, reads=reads, resident=dict(self.store.resident()))

    def _known(self, task: Task) -> Outputs | None:
        names = [task.key, task.input_digest] if task.keeps_results else []
        kind = outputs_class(type(task.step.node))
        found = (self.cache.get(name, kind) for name in names if name is not None)
        return next((outputs for outputs in found if outputs is not None), None)

    def _computed(
        self, task: Task, values: dict[str, Any], send: Listener, token: CancelToken
    ) -> tuple[Outputs, dict[str, str]]:
        state = ShippedState(task.state, lambda items: send(SavedState(items)))  # type: ignore[arg-type]
        run_context = RunContext(
            lambda node_id: task.environment,
            self.services,
            ShippedStateOnly(state),
            send,
            token,
            _no_description,
            strict=task.strict,
        )
        step = task.step
        context = NodeContext(step.node_id, run_context, task.key)
        with serving(_View(send, tuple(values.values()))):
            outputs = run_node(step.node, values, context)
            finished = node_finished(step, outputs, 0.0)
            for observer in self.services.observers:  # the store reports the memory that the node used
                observer.observe(finished)
        return outputs, context.reads


def _no_description(node_id: str, seconds: object) -> dict[str, Any]:
    raise RuntimeError(
        "ctx.provenance() is for output nodes: this node runs on a worker, which does not know the whole run"
    )


_OWN: list[WorkerSession] = []
_LOCK = threading.Lock()


def use(session: WorkerSession) -> None:
    """Make this the process's session."""
    with _LOCK:
        _OWN[:] = [session]


def own_session() -> WorkerSession:
    """The process's session; made with the default memory budget and no cache unless `use` has set one."""
    with _LOCK:
        if not _OWN:
            _OWN.append(WorkerSession())
        return _OWN[0]


def run_task(task: Parcel) -> Parcel:
    """What dask runs: a task, on this process's session. Returns a :class:`Finished`, packed."""
    return pack(own_session().run(task))


async def worker_facts() -> WorkerFacts:
    """What this worker is. Imports MLX, beside dask's loop."""
    return await asyncio.to_thread(lambda: own_session().facts())


async def next_reports(run: str, known: int, seconds: float) -> Parcel:
    """The list of reports to a run behind number ``known``, packed (see :class:`Reports`)."""
    return pack(await own_session().reports(run).next(known, seconds))


async def stop_run(run: str) -> None:
    """Stop the tasks of a run within a step."""
    own_session().stop(run)
