"""What a run's files say about it: the graph as run, timings, versions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from run_graph.graph.formats.editor.export import exported
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.versions import versions


def describe_run(
    workflow: Workflow,
    environment: RunEnvironment,
    seconds: Mapping[str, float],
    documents: Mapping[str, Any],
) -> dict[str, Any]:
    """Plain JSON values for an output file's metadata.

    Parameters
    ----------
    workflow : Workflow
    environment : RunEnvironment
    seconds : mapping
    documents : mapping
        What a picture carries beside the graph.

    Returns
    -------
    dict
        ``prompt``: the graph as run, API format, every parameter written out;
        ``seconds``: seconds of each stage that has finished, by node id;
        ``versions``: of run-graph, mlx, mflux and Python;
        ``input_directories``: where inputs were looked for, as absolute paths;
        ``documents``: what else a picture carries, by name.
    """
    return {
        "prompt": workflow.to_json(),
        "seconds": {node_id: round(value, 4) for node_id, value in seconds.items()},
        "versions": versions(),
        "input_directories": [os.path.abspath(folder) for folder in environment.input_directories],
        "documents": dict(documents),
    }


def describe_variant(
    workflow: Workflow,
    node_id: str,
    originals: Mapping[str, str],
    environment: RunEnvironment,
    seconds: Mapping[str, float],
    registry: Registry,
    recorded: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Like `describe_run`, for the part of a workflow that leads to one node, under its original ids.

    A picture of a sweep then says how to make just that picture. ``recorded`` has the inputs that it records
    with another value, by node id and input.
    """
    ancestors = workflow.ancestors([node_id])
    own_seconds = {originals[name]: value for name, value in seconds.items() if name in ancestors}
    part = workflow.only(ancestors)
    for name in ancestors & recorded.keys():
        for key, value in recorded[name].items():
            part = part.with_input(name, key, value)
    part = part.renamed(originals)
    own = describe_run(part, environment, own_seconds, carried_documents(part, registry, environment))
    return own | {"node_id": originals[node_id]}


def carried_documents(
    workflow: Workflow, registry: Registry, environment: RunEnvironment
) -> Mapping[str, Any]:
    """What a picture carries beside the graph: by default the graph as a file of ComfyUI's editor."""
    if environment.documents is not None:
        return environment.documents
    return {"workflow": exported(workflow, registry).document}
