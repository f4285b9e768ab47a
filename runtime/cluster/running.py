"""The engine behind :meth:`graph.Graph.run`: here, or on a cluster. Does not import distributed by itself."""

from __future__ import annotations

from typing import Any

from run_graph.graph.workflow import Workflow
from run_graph.runtime.engine import session
from run_graph.runtime.engine.session import RunResult


def run(workflow: Workflow, *, cluster: str | None = None, **options: Any) -> RunResult:
    """Run a workflow on the workers of a dask scheduler, or in this process without ``cluster``.

    Parameters
    ----------
    workflow : Workflow
    cluster : str, optional
        The scheduler's address.
    options
        Those of :func:`runtime.engine.session.run`.

    Raises
    ------
    ClusterError
        If the cluster cannot be used, or distributed is not installed.
    """
    if cluster is None:
        return session.run(workflow, **options)
    from run_graph.runtime.cluster.start import on_cluster

    return session.run(workflow, executor=on_cluster(cluster), **options)
