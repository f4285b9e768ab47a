"""What ``run-graph`` does: run, validate, list or draw a workflow, describe nodes, manage the cache."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from run_graph.graph.effect_list import effects_of
from run_graph.graph.faults import WorkflowError, WorkflowErrors, raise_all
from run_graph.graph.registry import Registry
from run_graph.graph.validation import check
from run_graph.runtime.cli.check_option import check_files
from run_graph.runtime.cli.combinations import STANDARD_OUTPUT
from run_graph.runtime.cli.consent import summary
from run_graph.runtime.cli.convert_option import convert
from run_graph.runtime.cli.doctor_option import examine_machine
from run_graph.runtime.cli.draw_option import printed_drawing, write_drawing
from run_graph.runtime.cli.event_lines import print_event, print_json, print_path
from run_graph.runtime.cli.examples import example_names, example_pictures, write_example
from run_graph.runtime.cli.files import FileJob, read_files
from run_graph.runtime.cli.inputs_option import inputs_text, settable_inputs
from run_graph.runtime.cli.log_details import log_details
from run_graph.runtime.cli.models_dir_option import searching
from run_graph.runtime.cli.models_option import list_models
from run_graph.runtime.cli.node_options import node_reference, registry_of
from run_graph.runtime.cli.options import (
    ActionOptions,
    CacheOptions,
    Options,
    ReportingOptions,
)
from run_graph.runtime.cli.run_files import run_files
from run_graph.runtime.cli.save_model_option import left_out, saving_job
from run_graph.runtime.cli.signals import SIGNALS, Interruptible
from run_graph.runtime.cli.terminal import (
    BAD_INPUT,
    DONE,
    NODE_FAILED,
    discard_warning,
    print_message,
    print_result,
)
from run_graph.runtime.cluster.errors import ClusterError
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.digests import announced_by
from run_graph.runtime.models.hub import offline
from run_graph.runtime.remote.errors import ServerError


def execute(options: Options) -> int:
    """Do what the command line asks for, report what went wrong, and return the exit code."""
    reporting = options.reporting
    if reporting.verbose:
        log_details()
    try:
        with offline(options.offline), searching(options.models_dirs), announced_by(_teller(reporting)):
            return _dispatch(options)
    except WorkflowError as error:
        _report_faults(error, reporting)
        return BAD_INPUT
    except WorkflowErrors as errors:
        for each in errors.errors:
            _report_faults(each, reporting)
        return BAD_INPUT
    except (SaveError, ClusterError, ServerError) as error:
        if reporting.json:
            print_json({"event": "error", "message": str(error)})
        print_message(str(error))
        return BAD_INPUT
    except NodeFailed as error:
        _report_failure(error, reporting)
        return NODE_FAILED
    except Cancelled as error:
        print_message(str(error))
        return SIGNALS.exit_code()


def _teller(reporting: ReportingOptions) -> Callable[[str], None]:
    return discard_warning if reporting.quiet else print_message


def _dispatch(options: Options) -> int:
    actions, reporting = options.actions, options.reporting
    if actions.concerns_cache:
        _report_cache(options.cache, reporting, clear=actions.cache_clear)
        return DONE
    if actions.list_models:
        list_models(reporting)
        return DONE
    if actions.doctor:
        return examine_machine(options.memory, reporting)
    registry = registry_of(options)
    if actions.check:
        return check_files(options, registry)
    if actions.concerns_nodes:
        print_result(node_reference(actions, registry, as_json=reporting.json))
    elif actions.example is not None:
        _example(actions.example, registry, reporting)
    elif actions.save_model is not None:
        _save_model(actions.save_model, options, registry)
    else:
        _act_on_workflows(options, registry)
    return DONE


def _save_model(target: Path, options: Options, registry: Registry) -> None:
    job = saving_job(options, target, registry)
    if not options.reporting.quiet:
        _print_notes([job])
        for note in left_out(job.job.workflow, registry):
            print_message(note)
    run_files([job], options, registry)


def _act_on_workflows(options: Options, registry: Registry) -> None:
    actions, reporting = options.actions, options.reporting
    # A draft with faults can be drawn and converted, and its inputs can be listed.
    only_read = bool(actions.draw or actions.converts or actions.inputs)
    check_values = actions.validate or not only_read
    jobs = read_files(options, registry, check_values=check_values)
    if not reporting.quiet:
        _print_notes(jobs)
    if actions.validate:
        _validate(jobs, registry, reporting)
    if actions.inputs:
        _list_inputs(jobs, registry, reporting)
    if actions.draw:
        _draw(jobs[0], actions, registry, reporting)
    if actions.converts:
        convert(jobs[0], actions, registry, reporting)
    if not (actions.validate or only_read):
        run_files(jobs, options, registry)


def _print_notes(jobs: Sequence[FileJob]) -> None:
    for job in jobs:
        for note in job.notes:
            print_message(f"{job.file}: {note}")


def _report_cache(cache: CacheOptions, reporting: ReportingOptions, *, clear: bool) -> None:
    from run_graph.runtime.cache.open import cache_usage, clear_cache

    report = clear_cache(cache.cache_dir) if clear else cache_usage(cache.cache_dir)
    print_event({"event": "cache", **asdict(report)}, report.text(), reporting)


def _example(arguments: Sequence[str], registry: Registry, reporting: ReportingOptions) -> None:
    """List the examples or, given a name and perhaps a folder, write one."""
    if not arguments:
        for name in example_names():
            pictures = example_pictures(name, registry)
            text = f"{name:16}  {', '.join(pictures) or 'no picture'}"
            print_event({"event": "example", "name": name, "pictures": pictures}, text, reporting)
        return
    name, *rest = arguments
    paths = [str(path) for path in write_example(name, Path(rest[0] if rest else "").expanduser(), registry)]
    print_event({"event": "example", "name": name, "paths": paths}, "\n".join(paths), reporting)
    if not reporting.quiet:
        print_message(f"run it with: run-graph {shlex.quote(paths[0])}")


def _validate(jobs: Sequence[FileJob], registry: Registry, reporting: ReportingOptions) -> None:
    found = [
        (each, check(each.job.workflow, registry, each.job.targets, each.job.environment)) for each in jobs
    ]
    if reporting.strict:
        found = [(each, checked.refusing_left_out()) for each, checked in found]
    raise_all([WorkflowError(checked.faults, each.file) for each, checked in found if checked.faults])
    for each, checked in found:
        file, count, targets = each.file, len(checked.nodes), checked.targets
        named = {"file": file} if each.job.name else {}
        effects = effects_of(each.job.workflow, registry, each.job.environment, each.job.targets)
        event = {"event": "valid", **named, "nodes": count, "targets": targets}
        event["effects"] = [asdict(effect) for effect in effects]
        event["left_out"] = [asdict(fault) for fault in checked.left_out]
        lines = [f"{file}: valid, {count} nodes lead to {', '.join(targets)}", *summary(effects)]
        lines += [note for _, note in checked.notes()]
        print_event(event, "\n  ".join(lines), reporting)


def _list_inputs(jobs: Sequence[FileJob], registry: Registry, reporting: ReportingOptions) -> None:
    for job in jobs:
        inputs = settable_inputs(job.job.workflow, registry)
        if reporting.json:
            listed = [each.to_json() for each in inputs]
            print_json({"event": "inputs", "file": job.file, "inputs": listed})
        else:
            heading = [f"{job.file}:"] if job.job.name else []
            print_result("\n".join([*heading, *inputs_text(inputs)]))


def _draw(job: FileJob, actions: ActionOptions, registry: Registry, reporting: ReportingOptions) -> None:
    assert actions.draw is not None
    if actions.draw == STANDARD_OUTPUT:
        print_result(printed_drawing(job, actions, registry, as_json=reporting.json))
        return
    with Interruptible():
        write_drawing(job, actions.draw, registry)
    print_path("drawing", actions.draw, reporting)


def _report_faults(error: WorkflowError, reporting: ReportingOptions) -> None:
    if reporting.json:
        faults = [asdict(fault) for fault in error.faults]
        print_json({"event": "invalid", "file": error.source, "faults": faults})
    print_message(str(error))


def _report_failure(error: NodeFailed, reporting: ReportingOptions) -> None:
    if reporting.traceback or reporting.verbose:
        import traceback

        traceback.print_exception(error.__cause__)
    print_message(f"{error.file}: {error}")
    for name, value in error.inputs.items():
        print_message(f"  {name} = {value}")
