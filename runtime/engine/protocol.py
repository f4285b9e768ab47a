"""What a session needs of an executor, so that plans can also be run in other ways.

An executor computes a plan's targets. It asks the run context's cache before it runs a node, gives the cache
what each node computed, and sends the nodes' events to ``run_context.emit``, from the caller's thread and in
an order that makes sense: a node starts after the nodes that it reads have finished, and finishes after it
started. :mod:`runtime.engine.run_node` has the parts that every executor shares. Nodes that an executor runs
on other threads run in a copy of the caller's context (:mod:`runtime.current_run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from run_graph.graph.node import Outputs
from run_graph.runtime.engine.context import RunContext
from run_graph.runtime.engine.plan import Plan

HasRoom = Callable[[Iterable[Any]], bool]
"""Whether a node with these input values can compute without a model having to leave memory."""


class PlanExecutor(Protocol):
    """One run of one plan."""

    def run(self) -> dict[str, Outputs]:
        """Compute the targets.

        Returns
        -------
        dict
            The outputs of each target, by the id that the caller named.

        Raises
        ------
        NodeFailed
            If a node raised.
        Cancelled, KeyboardInterrupt
            If the run was stopped.
        """
        ...

    def pending_values(self) -> Iterator[Any]:
        """The values, as far as they are known, that nodes without a result will read.

        Services ask during the run, to keep the models that are still needed.
        """
        ...


ExecutorFactory = Callable[[Plan, RunContext, HasRoom], PlanExecutor]
"""Makes the executor of one run; a class such as :class:`runtime.engine.executor.Executor` will do."""
