"""What ``run-graph`` does with a workflow: run, validate or draw it; and what it says of node classes."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from graph.faults import Fault, WorkflowError, suggestion
from graph.registry import Registry, installed_nodes
from graph.validation import check
from graph.workflow import Workflow
from runtime.contact_sheet.command import make_contact_sheet, save_contact_sheet
from runtime.context import Surroundings
from runtime.errors import Cancelled, NodeFailed
from runtime.files import SaveError, refuse_overwriting, write_atomically
from runtime.models.hub import offline
from runtime.settings import apply_settings
from runtime.sources import Source, read_source
from runtime.sweep.command import print_variants, read_sweep
from runtime.sweep.expansion import Sweep
from runtime.terminal import BAD_INPUT, DONE, INTERRUPTED, NODE_FAILED, discard, say, warn


def execute(arguments: Namespace) -> int:
    """Do what the command line asks, tell the user what went wrong, and return the exit code."""
    try:
        with offline(arguments.offline):
            _dispatch(arguments)
        return DONE
    except WorkflowError as error:
        _report_faults(error, arguments)
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
    source = read_source(Path(arguments.file))
    try:
        workflow = apply_settings(source, arguments.set, registry)
        surroundings = Surroundings(source.folders, Path(arguments.output))
        sweep = read_sweep(Source(workflow, source.folders), arguments, registry, surroundings)
        if arguments.validate:
            _validate(sweep, arguments, registry, surroundings)
        if arguments.draw:
            _draw(sweep.workflow, arguments, registry)
        if not (arguments.validate or arguments.draw):
            _run(sweep, arguments, registry, surroundings)
    except WorkflowError as error:
        raise error.in_file(arguments.file) from None


def _about_cache(arguments: Namespace) -> None:
    from runtime.cache.opening import cache_usage, clear_cache

    told = clear_cache(arguments.cache_dir) if arguments.cache_clear else cache_usage(arguments.cache_dir)
    if arguments.json:
        print(json.dumps({"event": "cache", **asdict(told)}, ensure_ascii=False))
    elif not arguments.quiet:
        print(told.text())


def _about_nodes(arguments: Namespace, registry: Registry) -> str:
    from graph.reference import describe, list_nodes
    from graph.schema import workflow_schema

    if arguments.schema:
        return json.dumps(workflow_schema(registry), indent=2, ensure_ascii=False)
    if arguments.list_nodes:
        return list_nodes(registry)
    if arguments.describe not in registry:
        mend = suggestion(arguments.describe, registry, "run-graph --list-nodes lists all classes.")
        fault = Fault("missing_node_type", f"there is no node class {arguments.describe!r}", mend)
        raise WorkflowError([fault])
    return describe(registry[arguments.describe])


def _validate(sweep: Sweep, arguments: Namespace, registry: Registry, surroundings: Surroundings) -> None:
    checked = check(sweep.workflow, registry, sweep.targets(arguments.target) or None, surroundings)
    if checked.faults:
        raise WorkflowError(checked.faults)
    if arguments.json:
        print(json.dumps({"event": "valid", "nodes": len(checked.nodes), "targets": checked.targets}))
    elif not arguments.quiet:
        print(f"{arguments.file}: valid, {len(checked.nodes)} nodes lead to {', '.join(checked.targets)}")


def _draw(workflow: Workflow, arguments: Namespace, registry: Registry) -> None:
    target = Path(arguments.draw)
    refuse_overwriting(arguments.file, target, "--draw")
    from runtime.picture import drawing

    write_atomically(target, drawing(workflow, registry, target.suffix), overwrite=True)
    if arguments.json:
        print(json.dumps({"event": "drawing", "path": str(target)}, ensure_ascii=False))
    elif not arguments.quiet:
        print(target)


def _run(sweep: Sweep, arguments: Namespace, registry: Registry, surroundings: Surroundings) -> None:
    from runtime.cache.opening import chosen_cache
    from runtime.events import each_of, plain_values
    from runtime.memory_report import memory_report
    from runtime.models.store import ModelStore
    from runtime.progress import listener
    from runtime.services import Services
    from runtime.session import Session

    sheet = make_contact_sheet(sweep, arguments, registry)
    if sweep.axes and arguments.json:
        print_variants(sweep)
    titles = {node_id: spec.title for node_id, spec in sweep.workflow.nodes.items()}
    services = Services(ModelStore(arguments.memory_limit, arguments.low_ram))
    cache = chosen_cache(arguments.no_cache, arguments.cache_dir, discard if arguments.quiet else warn)
    with (
        memory_report(arguments.memory_report) as report,
        listener(titles, quiet=arguments.quiet, as_json=arguments.json) as on_event,
    ):
        result = Session(registry, cache, services).run(
            sweep.workflow,
            targets=sweep.targets(arguments.target) or None,
            surroundings=surroundings,
            on_event=each_of(on_event, sheet, report),
            originals=sweep.originals if sweep.axes else None,
        )
    if not (arguments.quiet or arguments.json):
        for outputs in result.by_node.values():
            for value in plain_values(outputs).values():
                print(value)
    if sheet is not None:
        save_contact_sheet(sheet, result.as_run(), arguments, surroundings)


def _report_faults(error: WorkflowError, arguments: Namespace) -> None:
    if arguments.json:
        faults = [asdict(fault) for fault in error.faults]
        print(json.dumps({"event": "invalid", "file": error.source, "faults": faults}, ensure_ascii=False))
    say(str(error))


def _report_failure(error: NodeFailed, arguments: Namespace) -> None:
    if arguments.traceback:
        import traceback

        traceback.print_exception(error.__cause__)
    say(f"{arguments.file}: {error}")
    for name, value in error.inputs.items():
        say(f"  {name} = {value}")
