"""A step on its way through a cluster, and how it ended."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from run_graph.graph.node import Outputs
from run_graph.runtime.cluster.news import News
from run_graph.runtime.cluster.wire import Parcel
from run_graph.runtime.engine.context import NodeContext
from run_graph.runtime.engine.plan import Step
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey


class Connection(Protocol):
    """What is needed of a :class:`runtime.cluster.link.Link`."""

    news: queue.SimpleQueue[News]
    address: str

    def submit(self, worker: str, task: str, parcel: Parcel) -> None:
        """Give a worker a task."""
        ...

    def stop(self) -> None:
        """Tell all workers to stop the run's tasks within a step."""
        ...

    def close(self) -> None:
        """End all tasks of the run, and disconnect."""
        ...


@dataclass
class Work:
    """A step that is to run on a worker.

    Attributes
    ----------
    attempt : str
        The name of the task that runs it now; "" if none does.
    worker : str
        Where that is.
    other_device : str or None
        What tells the worker's results from this machine's; None if they are the same.
    lost : int
        How many workers were lost while they ran it.
    """

    step: Step
    values: Mapping[str, Any]
    key: str
    input_digest: str | None
    context: NodeContext
    models: Mapping[ComponentKey, Checkpoint]
    attempt: str = ""
    worker: str = ""
    other_device: str | None = None
    started: bool = False
    lost: int = 0


@dataclass(frozen=True)
class Result:
    """How a step ended: with outputs, or with a failure."""

    work: Work
    outputs: Outputs | None
    failure: NodeFailed | None = None
    was_known: bool = False
    seconds: float = 0.0
