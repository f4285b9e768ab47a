"""A session: runs workflows, one after another or at once, keeping models and results in between."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as once
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from run_graph.graph.links import Link
from run_graph.graph.node import Outputs
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cache import MemoryCache, NoCache, ResultCache
from run_graph.runtime.cache.open import disk_cache
from run_graph.runtime.cache.tiered import TieredCache
from run_graph.runtime.current_run import serving
from run_graph.runtime.engine.context import CancelToken, RunContext, RunEnvironment
from run_graph.runtime.engine.executor import Executor
from run_graph.runtime.engine.fork_guard import check_not_forked, note_run
from run_graph.runtime.engine.gc_tuning import relaxed_gc
from run_graph.runtime.engine.job import Job, as_run, check_jobs, left_out_notes
from run_graph.runtime.engine.protocol import ExecutorFactory
from run_graph.runtime.engine.services import Services
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import Event, Listener, NodeWarned, RunFinished, RunStarted, ignore
from run_graph.runtime.handing_out import OwnOutputs

Value = TypeVar("Value")

OUTPUT_DIRECTORY = Path("output")
_SHOWN = 10  # nodes in the repr of a result


@dataclass(frozen=True)
class RunResult:
    """The outputs of the targets (:class:`graph.builder.Result`).

    They are the caller's own: arrays are copies that may be changed, made when they are first asked for.
    """

    by_node: Mapping[str, Outputs]
    seconds: float
    as_run: Callable[[], Workflow]
    """The graph as run, every parameter written out; computed at the first call."""

    def __repr__(self) -> str:
        nodes = list(islice(self.by_node, _SHOWN))
        more = f" and {len(self.by_node) - len(nodes):,} more" if len(self.by_node) > len(nodes) else ""
        return f"<{type(self).__name__} of {', '.join(nodes)}{more} after {self.seconds:.2f} s>"

    def outputs(self, node_id: str) -> Outputs:
        """All outputs of a target node.

        Raises
        ------
        KeyError
            If it was not a target.
        """
        try:
            return self.by_node[node_id]
        except KeyError:
            raise KeyError(f"{node_id!r} was not a target of this run; name it in targets") from None

    def value(self, output: Value) -> Value:
        """The value of an output, given its handle.

        Raises
        ------
        TypeError
            If ``output`` is not a handle.
        KeyError
            If its node was not a target.
        """
        if not isinstance(output, Link):
            raise TypeError(f"value takes an output handle, not {type(output).__name__}")
        outputs = self.outputs(output.node_id)
        name = list(type(outputs).model_fields)[int(output.slot)]
        if name not in outputs.__dict__:
            raise KeyError(
                f"output {name!r} of {output.node_id!r} forwards an input and is not kept; "
                "name the node that makes the value in targets, and ask for its output"
            )
        return cast(Value, outputs.__dict__[name])


@dataclass(frozen=True, eq=False)
class _View:
    """What services can see of a run (:class:`runtime.current_run.RunView`)."""

    emit: Listener
    pending_values: Callable[[], Iterator[Any]]


class Session:
    """Runs workflows; keeps models and results in memory from one to the next.

    Several threads may run workflows at once: each run's events go to its own listener.

    Parameters
    ----------
    registry : Registry, optional
        Default: all installed nodes.
    cache : ResultCache, optional
        Where results are kept. Default: this session's, in memory, up to 2 GiB.
    services : Services, optional
        Objects that nodes share. Default: each is made when a node first asks for it.
    executor : callable, optional
        Makes what runs a plan (:mod:`runtime.engine.protocol`). Default: nodes one after another, here.
    strict : bool
        Whether a node fails where it would warn (:meth:`graph.Context.warn`).
    """

    def __init__(
        self,
        registry: Registry | None = None,
        cache: ResultCache | None = None,
        services: Services | None = None,
        executor: ExecutorFactory = Executor,
        strict: bool = False,
    ) -> None:
        self.registry = registry if registry is not None else installed_nodes()
        self.cache = cache if cache is not None else MemoryCache()
        self.services = services if services is not None else Services()
        self.executor = executor
        self.strict = strict

    def run(
        self,
        workflow: Workflow,
        *,
        targets: Iterable[str] | None = None,
        environment: RunEnvironment | None = None,
        on_event: Listener = ignore,
        token: CancelToken | None = None,
        registry: Registry | None = None,
        originals: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Validate and run a workflow.

        Parameters
        ----------
        targets : node ids, optional
            What to compute. Default: all output nodes.
        environment : RunEnvironment, optional
            Default: inputs from the working directory, outputs into ``output/``.
        on_event : callable
            Gets every event; the last is always ``RunFinished``.
        token : CancelToken, optional
            Lets another thread stop the run.
        originals : mapping, optional
            Names that files give to the nodes, by id (for a sweep, ``Sweep.originals``). If given, a file
            describes only the nodes that made it; otherwise the whole workflow, as ComfyUI's files do.

        Raises
        ------
        WorkflowError
            If the workflow has faults; nothing has run.
        NodeFailed
            If a node raised.
        Cancelled, KeyboardInterrupt
            If the run was stopped.
        """
        place = environment or RunEnvironment([Path.cwd()], OUTPUT_DIRECTORY)
        job = Job(workflow, place, targets, originals)
        return self.run_together([job], on_event=on_event, token=token, registry=registry)

    def run_together(
        self,
        jobs: Sequence[Job],
        *,
        on_event: Listener = ignore,
        token: CancelToken | None = None,
        registry: Registry | None = None,
    ) -> RunResult:
        """Validate several workflows and run them as one plan: shared work is done once.

        See :meth:`run`. Nodes are called ``job:node`` in events, errors and the result.

        Raises
        ------
        WorkflowErrors
            If more than one workflow has faults; nothing has run.
        """
        with relaxed_gc(sum(len(job.workflow) for job in jobs)):
            # A separate call: its plan and bookkeeping are freed before the collector looks again.
            return self._run_together(jobs, on_event, token, registry)

    def _run_together(
        self, jobs: Sequence[Job], on_event: Listener, token: CancelToken | None, registry: Registry | None
    ) -> RunResult:
        check_not_forked()
        checked = check_jobs(jobs, registry or self.registry, strict=self.strict)
        plan, token = checked.plan, token or CancelToken()
        observers = self.services.observers  # may grow during the run

        def emit(event: Event) -> None:
            for observer in observers:
                observer.observe(event)
            on_event(event)

        run = RunContext(
            checked.environment_of,
            self.services,
            self.cache,
            emit,
            token,
            checked.describe,
            strict=self.strict,
        )
        executor = self.executor(plan, run, self.services.has_room_for)
        started = time.perf_counter()
        status = "failed"
        with serving(_View(emit, executor.pending_values)):
            try:
                emit(RunStarted(len(plan.steps), plan.targets))
                for node_id, note in left_out_notes(checked.by_name):
                    emit(NodeWarned(node_id, note))
                outputs = executor.run()
                status = "done"
            except (Cancelled, KeyboardInterrupt):
                status = "interrupted"
                raise
            finally:
                seconds = time.perf_counter() - started
                note_run()
                emit(RunFinished(status, seconds))
        return RunResult(OwnOutputs(outputs), seconds, once(partial(as_run, checked.by_name)))


@once
def default_session() -> Session:
    """The session that ``Graph.run`` uses: one for the process, so that models stay loaded.

    Results are kept in memory, and on disk for later processes.
    """
    return Session(cache=TieredCache(MemoryCache(), disk_cache(None, logging.getLogger(__name__).warning)))


def environment_of(input_directories: Sequence[str | Path], output_directory: str | Path) -> RunEnvironment:
    """Where a run from Python reads and writes: ``~`` is the home folder."""
    return RunEnvironment(
        [Path(folder).expanduser() for folder in input_directories], Path(output_directory).expanduser()
    )


def run(
    workflow: Workflow,
    *,
    targets: Sequence[str] | None = None,
    registry: Registry | None = None,
    on_event: Listener | None = None,
    token: CancelToken | None = None,
    output_directory: str | Path = OUTPUT_DIRECTORY,
    input_directories: Sequence[str | Path] = (".",),
    cache: bool = True,
    strict: bool = False,
    session: Session | None = None,
    executor: ExecutorFactory | None = None,
) -> RunResult:
    """Run a workflow: the engine behind :meth:`graph.Graph.run`, which describes the options.

    Without ``session`` it runs in the process's own, and is strict only if ``strict`` says so. ``executor``
    takes the place of the session's.
    """
    environment = environment_of(input_directories, output_directory)
    own = session if session is not None else default_session()
    if strict or executor or not cache:
        own = Session(
            own.registry,
            own.cache if cache else NoCache(),
            own.services,
            executor or own.executor,
            strict or own.strict,
        )
    return own.run(
        workflow,
        targets=targets,
        environment=environment,
        on_event=on_event or ignore,
        token=token,
        registry=registry,
    )
