"""What a run's connection to its cluster learns."""

from __future__ import annotations

from dataclasses import dataclass

from run_graph.runtime.cluster.errors import ClusterError
from run_graph.runtime.cluster.messages import Finished, Report, WorkerFacts


@dataclass(frozen=True)
class Joined:
    """A worker can be given tasks.

    ``other_device`` tells its results from this machine's; None if they are the same.
    """

    worker: str
    facts: WorkerFacts
    other_device: str | None = None


@dataclass(frozen=True)
class Refused:
    """A worker cannot be used."""

    worker: str
    why: str


@dataclass(frozen=True)
class Lost:
    """A worker is gone, with its tasks, or has not answered for long."""

    worker: str
    why: str


@dataclass(frozen=True)
class Reported:
    """What a worker's tasks report; perhaps not for the first time."""

    worker: str
    reports: tuple[Report, ...]


@dataclass(frozen=True)
class Done:
    """A task has ended; ``finished`` is None if dask lost it, for the reason ``why``."""

    worker: str
    task: str
    finished: Finished | None
    why: str = ""


@dataclass(frozen=True)
class Broken:
    """The scheduler cannot be reached; ``reached`` again later, or given up with an error."""

    error: ClusterError | None


News = Joined | Refused | Lost | Reported | Done | Broken
