"""What a graph needs of the engine that runs it, which is found by its entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Protocol, TypeVar, cast

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.node import Outputs
from run_graph.graph.workflow import Workflow

ENGINE_GROUP = "run_graph.engine"

Value = TypeVar("Value")


class Result(Protocol):
    """What a run returns: the outputs of the target nodes."""

    @property
    def seconds(self) -> float:
        """How long the run took."""
        ...

    @property
    def as_run(self) -> Callable[[], Workflow]:
        """Returns the graph as it was run, with every parameter written out."""
        ...

    def value(self, output: Value) -> Value:
        """The value of an output of a target node, given its handle (``result.value(image.image)``)."""
        ...

    def outputs(self, node_id: str) -> Outputs:
        """All outputs of a target node."""
        ...


class Token(Protocol):
    """Tells a run to stop; run-graph's own is :class:`runtime.engine.context.CancelToken`."""

    def raise_if_cancelled(self) -> None:
        """Raise the engine's ``Cancelled`` if the run is to stop."""
        ...


class Session(Protocol):
    """Keeps models and results between runs; run-graph's own is :class:`runtime.engine.session.Session`."""

    strict: bool

    def run(self, workflow: Workflow) -> Result:
        """Run the output nodes of a workflow."""
        ...


def installed_engine() -> Callable[..., Result]:
    """The engine's ``run``, which takes a workflow, and the options of :meth:`graph.Graph.run` by name.

    Raises
    ------
    WorkflowError
        If none is installed.
    """
    engines = entry_points(group=ENGINE_GROUP)
    if not engines:
        fault = Fault("no_engine", "no engine is installed", "Install the run-graph package.")
        raise WorkflowError([fault])
    return cast(Callable[..., Result], next(iter(engines)).load())
