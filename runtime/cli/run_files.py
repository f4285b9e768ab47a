"""Run the workflows of files together, and show how far they are and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from run_graph.graph.faults import WorkflowError, raise_all
from run_graph.graph.registry import Registry
from run_graph.runtime.cli.cluster_options import chosen_executor
from run_graph.runtime.cli.consent import differs, permitted
from run_graph.runtime.cli.contact_sheet_option import make_contact_sheet, save_contact_sheet
from run_graph.runtime.cli.event_lines import print_event, print_json, print_path
from run_graph.runtime.cli.files import FileJob
from run_graph.runtime.cli.options import Options, PermissionOptions, ReportingOptions
from run_graph.runtime.cli.signals import SIGNALS, Interruptible
from run_graph.runtime.cli.stages import Detail, Stage, Stages, stages_of
from run_graph.runtime.cli.sweep_option import sweep_event
from run_graph.runtime.cli.terminal import discard_warning, warn
from run_graph.runtime.cli.value_lines import target_values
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.models.hub import offline


def run_files(jobs: Sequence[FileJob], options: Options, registry: Registry) -> None:
    """Run the jobs together, here or on the server that the options name; print paths, progress and results.

    Raises
    ------
    WorkflowError, WorkflowErrors
        If a workflow has faults, or one from a picture wants more than it may have.
    NodeFailed
        If a node fails; it names the file.
    Cancelled
        If a signal ends the run; the message says how to go on.
    """
    jobs, downloads = _within_bounds(jobs, options.permissions, registry)
    with offline(not downloads):
        if options.remote.server is not None:
            _run_on_server(jobs, options, registry)
        else:
            _run(jobs, options, registry)


def _within_bounds(
    jobs: Sequence[FileJob], permissions: PermissionOptions, registry: Registry
) -> tuple[list[FileJob], bool]:
    """The jobs, those of pictures within what they may do, and whether the run may download."""
    found: list[FileJob] = []
    downloads = True
    errors: list[WorkflowError] = []
    for each in jobs:
        if (picture := each.source.picture) is not None:
            try:
                is_own = partial(differs, job=each.job, given=each.source.workflow)
                within = permitted(each.job, picture, is_own, permissions, registry)
            except WorkflowError as error:
                errors.append(error)
                continue
            each, downloads = replace(each, job=within.job), downloads and within.downloads
        found.append(each)
    raise_all(errors)
    return found, downloads


def _run(jobs: Sequence[FileJob], options: Options, registry: Registry) -> None:
    from run_graph.runtime.cache.open import chosen_cache
    from run_graph.runtime.cli.ending import Ending
    from run_graph.runtime.cli.memory_report import memory_report
    from run_graph.runtime.cli.progress import display
    from run_graph.runtime.cli.result_lines import ResultLines
    from run_graph.runtime.engine.context import CancelToken
    from run_graph.runtime.engine.services import Services
    from run_graph.runtime.engine.session import Session
    from run_graph.runtime.events import each_of
    from run_graph.runtime.models.store import ModelStore

    memory, cache, reporting = options.memory, options.cache, options.reporting
    path = options.contact_sheet
    sheet = make_contact_sheet(path, jobs[0], options.nodes.targets, registry) if path else None
    if reporting.json:
        _introduce(jobs)
    results = chosen_cache(cache.no_cache, cache.cache_dir, discard_warning if reporting.quiet else warn)
    services = Services(ModelStore(memory.memory_limit, memory.low_ram))
    token, ending = CancelToken(), Ending(keeps_results=not cache.no_cache)
    try:
        with (
            Interruptible(token.cancel),
            memory_report(memory.memory_report) as report,
            display(_stages(jobs), _detail(reporting), as_json=reporting.json) as shown,
            _failures_name_their_file(jobs),
            chosen_executor(options.machines, memory.memory_limit, memory.low_ram) as executor,
        ):
            session = Session(registry, results, services, executor, strict=reporting.strict)
            listeners = (shown.on_event, ResultLines(shown.print_result), ending, sheet, report)
            result = session.run_together(
                [each.job for each in jobs], on_event=each_of(*listeners), token=token
            )
        if options.nodes.targets:
            for value in target_values(result.by_node):
                print_event(value.to_json(), value.line(), reporting)
        if path and sheet:
            with Interruptible():
                save_contact_sheet(path, sheet, result.as_run(), jobs[0].job.environment)
            print_path("contact_sheet", path, reporting)
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled(ending.text(SIGNALS.how())) from None


def _run_on_server(jobs: Sequence[FileJob], options: Options, registry: Registry) -> None:
    from run_graph.runtime.cli.ending import Ending
    from run_graph.runtime.cli.progress import display
    from run_graph.runtime.cli.server_run import run_on_server
    from run_graph.runtime.engine.context import CancelToken

    reporting = options.reporting
    if reporting.json:
        _introduce(jobs)
    token, ending = CancelToken(), Ending(keeps_results=True)
    try:
        with (
            Interruptible(token.cancel),
            display(_stages(jobs), _detail(reporting), as_json=reporting.json) as shown,
            _failures_name_their_file(jobs),
        ):
            run_on_server(jobs, options.remote, registry, shown, ending, token)
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled(ending.text(SIGNALS.how())) from None


def _stages(jobs: Sequence[FileJob]) -> Stages:
    stages: dict[str, Stage] = {}
    for each in jobs:
        stages |= stages_of(each.job.workflow, each.place)
    return stages


def _detail(reporting: ReportingOptions) -> Detail:
    if reporting.quiet:
        return Detail.QUIET
    return Detail.VERBOSE if reporting.verbose else Detail.NORMAL


def _introduce(jobs: Sequence[FileJob]) -> None:
    """Print, before the events, the files' names in them, seeds chosen at random, and sweeps' variants."""
    if len(jobs) > 1 or jobs[0].job.name:
        print_json({"event": "workflows", "files": {each.job.name: each.file for each in jobs}})
    for each in jobs:
        if each.chosen:
            print_json({"event": "chosen", "file": each.file, "values": dict(each.chosen)})
        if each.sweep.axes:
            print_json(sweep_event(each.sweep, each.job.name))


@contextmanager
def _failures_name_their_file(jobs: Sequence[FileJob]) -> Iterator[None]:
    try:
        yield
    except NodeFailed as error:
        error.file = next(each.file for each in jobs if error.node_id.startswith(each.place("")))
        raise
