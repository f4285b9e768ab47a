"""What ``run-graph`` does with a workflow: run, validate or draw it; and what it says of node classes."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from run_graph.graph.faults import Fault, WorkflowError, WorkflowErrors, raise_all, suggestion
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.validation import check
from run_graph.runtime.cli.contact_sheet_option import make_contact_sheet, save_contact_sheet
from run_graph.runtime.cli.files import FileJob, read_files
from run_graph.runtime.cli.sweep_option import print_variants
from run_graph.runtime.cli.terminal import BAD_INPUT, DONE, INTERRUPTED, NODE_FAILED, discard, say, warn
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.files.atomic import SaveError, write_atomically
from run_graph.runtime.files.outputs import refuse_overwriting
from run_graph.runtime.models.hub import offline

if TYPE_CHECKING:
    from run_graph.runtime.contact_sheet.sheet import ContactSheet


def execute(arguments: Namespace) -> int:
    """Do what the command line asks, tell the user what went wrong, and return the exit code."""
    try:
        with offline(arguments.offline):
            _dispatch(arguments)
        return DONE
    except WorkflowError as error:
        _report_faults(error, arguments)
        return BAD_INPUT
    except WorkflowErrors as errors:
        for each in errors.errors:
            _report_faults(each, arguments)
        return BAD_INPUT
    except SaveError as error:
        if arguments.json:
            print(json.dumps({"event": "error", "message": str(error)}, ensure_ascii=False))
        say(str(error))
        return BAD_INPUT
    except NodeFailed as error:
        _report_failure(error, arguments)
        return NODE_FAILED
    except Cancelled:
        say("interrupted")
        return INTERRUPTED


def _dispatch(arguments: Namespace) -> None:
    if arguments.cache_info or arguments.cache_clear:
        _about_cache(arguments)
        return
    registry = installed_nodes()
    for problem in registry.problems:
        warn(problem)
    if arguments.list_nodes or arguments.describe or arguments.schema:
        print(_about_nodes(arguments, registry))
        return
    jobs = read_files(arguments, registry)
    if arguments.validate:
        _validate(jobs, arguments, registry)
    if arguments.draw:
        _draw(jobs[0], registry)
    if not (arguments.validate or arguments.draw):
        _run(jobs, arguments, registry)


def _about_cache(arguments: Namespace) -> None:
    from run_graph.runtime.cache.open import cache_usage, clear_cache

    told = clear_cache(arguments.cache_dir) if arguments.cache_clear else cache_usage(arguments.cache_dir)
    if arguments.json:
        print(json.dumps({"event": "cache", **asdict(told)}, ensure_ascii=False))
    elif not arguments.quiet:
        print(told.text())


def _about_nodes(arguments: Namespace, registry: Registry) -> str:
    from run_graph.graph.reference import describe, list_nodes
    from run_graph.graph.schema import workflow_schema

    if arguments.schema:
        return json.dumps(workflow_schema(registry), indent=2, ensure_ascii=False)
    if arguments.list_nodes:
        return list_nodes(registry)
    if arguments.describe not in registry:
        fix = suggestion(arguments.describe, registry, "run-graph --list-nodes lists all classes.")
        fault = Fault("missing_node_type", f"there is no node class {arguments.describe!r}", fix)
        raise WorkflowError([fault])
    return describe(registry[arguments.describe])


def _validate(jobs: Sequence[FileJob], arguments: Namespace, registry: Registry) -> None:
    found = [(job, check(job.sweep.workflow, registry, job.targets, job.environment)) for job in jobs]
    raise_all([WorkflowError(done.faults, job.arguments.file) for job, done in found if done.faults])
    for job, checked in found:
        file, count = job.arguments.file, len(checked.nodes)
        if arguments.json:
            named = {"file": file} if job.name else {}
            print(json.dumps({"event": "valid", **named, "nodes": count, "targets": checked.targets}))
        elif not arguments.quiet:
            print(f"{file}: valid, {count} nodes lead to {', '.join(checked.targets)}")


def _draw(job: FileJob, registry: Registry) -> None:
    arguments = job.arguments
    target = Path(arguments.draw)
    refuse_overwriting(arguments.file, target, "--draw")
    from run_graph.runtime.cli.draw_png import drawing

    write_atomically(target, drawing(job.sweep.workflow, registry, target.suffix), overwrite=True)
    if arguments.json:
        print(json.dumps({"event": "drawing", "path": str(target)}, ensure_ascii=False))
    elif not arguments.quiet:
        print(target)


def _run(jobs: Sequence[FileJob], arguments: Namespace, registry: Registry) -> None:
    from run_graph.runtime.cache.open import chosen_cache
    from run_graph.runtime.cli.memory_report import memory_report
    from run_graph.runtime.cli.progress import listener
    from run_graph.runtime.engine.services import Services
    from run_graph.runtime.engine.session import Session
    from run_graph.runtime.events import each_of, plain_values
    from run_graph.runtime.models.store import ModelStore

    sheet = _contact_sheet(jobs[0], registry) if arguments.contact_sheet else None
    if arguments.json:
        _introduce(jobs)
    titles = {
        job.place(node_id): spec.title for job in jobs for node_id, spec in job.sweep.workflow.nodes.items()
    }
    services = Services(ModelStore(arguments.memory_limit, arguments.low_ram))
    cache = chosen_cache(arguments.no_cache, arguments.cache_dir, discard if arguments.quiet else warn)
    with (
        memory_report(arguments.memory_report) as report,
        listener(titles, quiet=arguments.quiet, as_json=arguments.json) as on_event,
        _failures_name_their_file(jobs),
    ):
        result = Session(registry, cache, services).run_together(
            [job.job() for job in jobs], on_event=each_of(on_event, sheet, report)
        )
    if not (arguments.quiet or arguments.json):
        for outputs in result.by_node.values():
            for value in plain_values(outputs).values():
                print(value)
    if sheet is not None:
        save_contact_sheet(sheet, result.as_run(), arguments, jobs[0].environment)


def _contact_sheet(job: FileJob, registry: Registry) -> ContactSheet | None:
    try:
        return make_contact_sheet(job.sweep, job.arguments, registry)
    except WorkflowError as error:
        raise error.in_file(job.arguments.file) from None


def _introduce(jobs: Sequence[FileJob]) -> None:
    """Before the events, as lines of JSON: what the files are called in them, and the variants of sweeps."""
    if len(jobs) > 1 or jobs[0].name:
        files = {job.name: job.arguments.file for job in jobs}
        print(json.dumps({"event": "workflows", "files": files}, ensure_ascii=False), flush=True)
    for job in jobs:
        if job.sweep.axes:
            print_variants(job.sweep, job.name)


@contextmanager
def _failures_name_their_file(jobs: Sequence[FileJob]) -> Iterator[None]:
    try:
        yield
    except NodeFailed as error:
        error.file = next(
            job.arguments.file for job in jobs if not job.name or error.node_id.startswith(f"{job.name}:")
        )
        raise


def _report_faults(error: WorkflowError, arguments: Namespace) -> None:
    if arguments.json:
        faults = [asdict(fault) for fault in error.faults]
        print(json.dumps({"event": "invalid", "file": error.source, "faults": faults}, ensure_ascii=False))
    say(str(error))


def _report_failure(error: NodeFailed, arguments: Namespace) -> None:
    if arguments.traceback:
        import traceback

        traceback.print_exception(error.__cause__)
    say(f"{error.file}: {error}")
    for name, value in error.inputs.items():
        say(f"  {name} = {value}")
