"""run-graph: FLUX.1 + Redux on MLX as a graph of typed nodes.

``from run_graph import Graph, run`` builds and runs a workflow; the stages are in :mod:`run_graph.nodes`.
Names are imported when they are first used, so that ``run-graph --help`` starts quickly. Nothing at all is
imported here: the commands begin with this file, and handle Ctrl-C only after it (:mod:`runtime.cli.start`).

Attributes
----------
__version__ : str
    The installed version; "unknown" in a checkout that was never installed.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's constant without importing typing

if TYPE_CHECKING:
    from typing import Any

    from run_graph.graph import (
        Context,
        Effect,
        Environment,
        Fault,
        Field,
        Graph,
        Lazy,
        Link,
        Node,
        NodeSpec,
        Outputs,
        Problem,
        Registry,
        SocketValue,
        Workflow,
        WorkflowError,
        installed_nodes,
        load_workflow,
        parse_workflow,
        validate,
    )
    from run_graph.runtime.engine.context import CancelToken
    from run_graph.runtime.engine.session import Session
    from run_graph.runtime.errors import Cancelled, NodeFailed
    from run_graph.runtime.remote.running import run

    __version__: str

__all__ = [
    "CancelToken",
    "Cancelled",
    "Context",
    "Effect",
    "Environment",
    "Fault",
    "Field",
    "Graph",
    "Lazy",
    "Link",
    "Node",
    "NodeFailed",
    "NodeSpec",
    "Outputs",
    "Problem",
    "Registry",
    "Session",
    "SocketValue",
    "Workflow",
    "WorkflowError",
    "__version__",
    "installed_nodes",
    "load_workflow",
    "parse_workflow",
    "run",
    "validate",
]

_ELSEWHERE = {
    "CancelToken": "run_graph.runtime.engine.context",
    "Cancelled": "run_graph.runtime.errors",
    "NodeFailed": "run_graph.runtime.errors",
    "Session": "run_graph.runtime.engine.session",
    "run": "run_graph.runtime.remote.running",
}
"""Where the names are that :mod:`run_graph.graph` does not have."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from run_graph.runtime.versions import versions_of

        return versions_of(["run-graph"])["run-graph"]
    if name not in __all__:
        raise AttributeError(f"module 'run_graph' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ELSEWHERE.get(name, "run_graph.graph")), name)
