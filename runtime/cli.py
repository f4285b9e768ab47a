"""The ``run-graph`` command. Exit codes: 0 done, 2 bad input, 1 a node failed, 130 interrupted."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from graph.faults import WorkflowError
from graph.registry import Registry, installed_nodes
from graph.validation import check
from runtime.arguments import parse
from runtime.context import Surroundings
from runtime.errors import Cancelled, NodeFailed
from runtime.settings import apply_settings
from runtime.sources import Source, read_source

DONE, NODE_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's own) and return its exit code."""
    arguments = parse(argv)
    try:
        return _dispatch(arguments)
    except WorkflowError as error:
        _report_faults(error, arguments)
        return BAD_INPUT
    except NodeFailed as error:
        _report_failure(error, arguments)
        return NODE_FAILED
    except (Cancelled, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone; there is nobody left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _dispatch(arguments: Namespace) -> int:
    registry = installed_nodes()
    for problem in registry.problems:
        _say(f"warning: {problem}")
    if arguments.list_nodes or arguments.describe or arguments.schema:
        print(_about_nodes(arguments, registry))
        return DONE
    source = read_source(Path(arguments.file))
    try:
        workflow = apply_settings(source, arguments.set, registry)
        source = Source(workflow, source.folders)
        surroundings = Surroundings(source.folders, Path(arguments.output))
        if arguments.validate:
            _validate(source, arguments, registry, surroundings)
        if arguments.draw:
            _draw(source, Path(arguments.draw), registry)
        if not (arguments.validate or arguments.draw):
            _run(source, arguments, registry, surroundings)
    except WorkflowError as error:
        raise error.in_file(arguments.file) from None
    return DONE


def _about_nodes(arguments: Namespace, registry: Registry) -> str:
    from graph.reference import describe, list_nodes
    from graph.schema import workflow_schema

    if arguments.schema:
        return json.dumps(workflow_schema(registry), indent=2, ensure_ascii=False)
    if arguments.list_nodes:
        return list_nodes(registry)
    if arguments.describe not in registry:
        from graph.faults import Fault, suggestion

        mend = suggestion(arguments.describe, registry, "run-graph --list-nodes lists all classes.")
        fault = Fault("missing_node_type", f"there is no node class {arguments.describe!r}", mend)
        raise WorkflowError([fault])
    return describe(registry[arguments.describe])


def _validate(source: Source, arguments: Namespace, registry: Registry, surroundings: Surroundings) -> None:
    checked = check(source.workflow, registry, arguments.target or None, surroundings)
    if checked.faults:
        raise WorkflowError(checked.faults)
    if arguments.json:
        print(json.dumps({"event": "valid", "nodes": len(checked.nodes), "targets": checked.targets}))
    elif not arguments.quiet:
        print(f"{arguments.file}: valid, {len(checked.nodes)} nodes lead to {', '.join(checked.targets)}")


def _draw(source: Source, target: Path, registry: Registry) -> None:
    from runtime.picture import drawing

    from runtime.files import write_atomically

    write_atomically(target, drawing(source.workflow, registry, target.suffix), overwrite=True)
    print(target)


def _run(source: Source, arguments: Namespace, registry: Registry, surroundings: Surroundings) -> None:
    from runtime.cache import NoCache
    from runtime.progress import listener
    from runtime.session import Session

    titles = {node_id: spec.title for node_id, spec in source.workflow.nodes.items()}
    with listener(titles, quiet=arguments.quiet, as_json=arguments.json) as on_event:
        result = Session(registry, NoCache()).run(
            source.workflow,
            targets=arguments.target or None,
            surroundings=surroundings,
            on_event=on_event,
        )
    if not (arguments.quiet or arguments.json):
        for outputs in result.by_node.values():
            for value in outputs.__dict__.values():
                if isinstance(value, str | int | float):
                    print(value)


def _report_faults(error: WorkflowError, arguments: Namespace) -> None:
    if arguments.json:
        faults = [asdict(fault) for fault in error.faults]
        print(json.dumps({"event": "invalid", "file": error.source, "faults": faults}, ensure_ascii=False))
    _say(str(error))


def _report_failure(error: NodeFailed, arguments: Namespace) -> None:
    if arguments.traceback:
        import traceback

        traceback.print_exception(error.__cause__)
    _say(str(error))
    for name, value in error.inputs.items():
        _say(f"  {name} = {value}")


def _say(line: str) -> None:
    print(f"run-graph: {line}" if not line.startswith(" ") else line, file=sys.stderr)
