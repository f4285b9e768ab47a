"""The engine behind :meth:`graph.Graph.run`: here, on a cluster, or on a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache as once
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import outputs_class
from run_graph.graph.node import Outputs
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cluster import running
from run_graph.runtime.engine.context import CancelToken
from run_graph.runtime.engine.job import Job, check_jobs
from run_graph.runtime.engine.session import OUTPUT_DIRECTORY, RunResult, environment_of
from run_graph.runtime.events import Event, Listener, RunFinished, ignore


def run(workflow: Workflow, *, server: str | None = None, **options: Any) -> RunResult:
    """Run a workflow on a server, or without ``server`` as :func:`runtime.cluster.running.run` does.

    Parameters
    ----------
    workflow : Workflow
    server : str, optional
        The address of ``run-graph serve`` or ComfyUI. The variable ``RUN_GRAPH_TOKEN`` has its token.
    options
        Those of :func:`runtime.engine.session.run`; of these a server takes ``targets``, ``registry``,
        ``on_event``, ``token``, ``output_directory`` and ``input_directories``.

    Raises
    ------
    ServerError
        If the server cannot be used.
    ValueError
        If an option is given that has no meaning on a server.
    """
    if server is None:
        return running.run(workflow, **options)
    return _on_server(workflow, server, **options)


def _on_server(
    workflow: Workflow,
    server: str,
    *,
    targets: Sequence[str] | None = None,
    registry: Registry | None = None,
    on_event: Listener | None = None,
    token: CancelToken | None = None,
    output_directory: str | Path = OUTPUT_DIRECTORY,
    input_directories: Sequence[str | Path] = (".",),
    cache: bool = True,
    **options: Any,
) -> RunResult:
    # Imported here: runs without a server need neither HTTP nor WebSockets.
    from run_graph.runtime.remote.address import Address
    from run_graph.runtime.remote.prompts import Prompt
    from run_graph.runtime.remote.run import run_prompts

    local = [name for name, value in {**options, "cache": not cache}.items() if value]
    if local:
        raise ValueError(f"leave out {', '.join(local)}: with server=... the server decides that")
    known = registry if registry is not None else installed_nodes()
    environment = environment_of(input_directories, output_directory)
    prompt = Prompt(workflow, environment, None if targets is None else tuple(targets))
    seconds = 0.0

    def listen(event: Event) -> None:
        nonlocal seconds
        if isinstance(event, RunFinished):
            seconds = event.seconds
        (on_event or ignore)(event)

    results = run_prompts([prompt], Address.of(server), known, listen, token or CancelToken())
    made = {node_id: results.by_place.get(node_id, {}) for node_id in prompt.targets(known)}
    outputs = {node_id: _outputs(node_id, workflow, made[node_id], known) for node_id in made}
    job = Job(workflow, environment, targets)
    return RunResult(outputs, seconds, once(lambda: check_jobs([job], known).by_name[""].as_run))


def _outputs(node_id: str, workflow: Workflow, result: Mapping[str, Any], registry: Registry) -> Outputs:
    """The plain outputs of a node: files as paths here, texts."""
    kind = outputs_class(registry[workflow.nodes[node_id].class_type])
    return kind.model_construct(
        **{name: value for name, value in result.items() if name in kind.model_fields}
    )
