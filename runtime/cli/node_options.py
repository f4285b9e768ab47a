"""The node classes of a command (``--nodes``), and what it says of them (``--list-nodes`` and others)."""

from __future__ import annotations

import json

from run_graph.graph.faults import Fault, WorkflowError, suggestion
from run_graph.graph.node_files import with_node_files
from run_graph.graph.object_info import node_info, object_info
from run_graph.graph.reference import describe, list_nodes
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.schema import workflow_schema
from run_graph.runtime.cli.options import ActionOptions, Options
from run_graph.runtime.cli.terminal import warn


def registry_of(options: Options) -> Registry:
    """The installed classes and those of ``--nodes``. Prints a warning for each package that was left out.

    Raises
    ------
    WorkflowError, WorkflowErrors
        For the files of ``--nodes`` that cannot be used.
    """
    registry = installed_nodes()
    if options.node_files:
        registry = with_node_files(registry, options.node_files)
    for problem in registry.problems:
        warn(problem)
    return registry


def node_reference(actions: ActionOptions, registry: Registry, *, as_json: bool) -> str:
    """What ``--schema``, ``--list-nodes`` or ``--describe`` prints.

    As JSON, classes are one object of name and description (:mod:`graph.object_info`).

    Raises
    ------
    WorkflowError
        If there is no such class.
    """
    name = actions.describe
    if actions.schema:
        return json.dumps(workflow_schema(registry), indent=2, ensure_ascii=False)
    if actions.list_nodes or name is None:
        return _dumped(object_info(registry)) if as_json else list_nodes(registry)
    if name not in registry:
        fix = suggestion(name, registry, "run-graph --list-nodes lists all classes.")
        raise WorkflowError(
            [Fault("missing_node_type", f"--describe {name!r}: there is no node class of this name", fix)]
        )
    return _dumped({name: node_info(registry[name])}) if as_json else describe(registry[name])


def _dumped(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, default=repr)
