"""What clients and workers tell each other, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from run_graph.graph.node import Outputs
from run_graph.runtime.cluster.wire import Parcel
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.plan import Step
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself.

    Attributes
    ----------
    session : str
        Another one in every process.
    environment : mapping
        What its results depend on (:func:`runtime.cache.environment.environment_facts`).
    resident : mapping
        The components in its memory, and their sizes in bytes.
    memory_limit : int
        Its budget for weights in bytes; 0 if it holds one model at a time.
    problem : str or None
        Why it cannot compute, if so.
    """

    session: str
    environment: Mapping[str, Any]
    resident: Mapping[ComponentKey, int] = field(default_factory=dict)
    memory_limit: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Task:
    """One step for a worker.

    Attributes
    ----------
    name : str
        Of this attempt: another one in every run and attempt.
    run : str
        The run's name.
    step : Step
    values : mapping
        The values of its linked inputs by name.
    key : str
        The key of its result.
    input_digest : str or None
        The second name of its result (:mod:`runtime.cache`), if it has one.
    state : mapping or None
        Its resume state.
    environment : RunEnvironment
        Where the client reads and writes.
    identities : mapping
        What the client's files of each checkpoint are (``Checkpoint.identity``).
    home : Path
        The client's home folder.
    keeps_results : bool
        Whether results of earlier runs may be used, and this one be kept.
    strict, offline : bool
        As for the whole run.
    """

    name: str
    run: str
    step: Step
    values: Mapping[str, Any]
    key: str
    input_digest: str | None
    state: Mapping[str, Any] | None
    environment: RunEnvironment
    identities: Mapping[Checkpoint, str]
    home: Path
    keeps_results: bool
    strict: bool
    offline: bool


@dataclass(frozen=True)
class Began:
    """A worker begins to compute the task."""


@dataclass(frozen=True)
class SavedState:
    """The node's resume state, to be kept by the client."""

    items: Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """Something that a task reports while it runs.

    Attributes
    ----------
    number : int
        Grows within a worker's reports to one run.
    task : str
        The task's name.
    content : Parcel
        A :class:`Began`, a :class:`SavedState` or an event.
    """

    number: int
    task: str
    content: Parcel


@dataclass(frozen=True)
class Outcome:
    """How a task ended: with outputs, with a failure or, with neither, because it was stopped.

    Attributes
    ----------
    was_known : bool
        Whether the worker had the result from an earlier run.
    seconds : float
        How long the node ran.
    reads : mapping
        The digests of the input files that the node read, by name.
    resident : mapping
        The components in the worker's memory now, and their sizes in bytes.
    """

    outputs: Outputs | None = None
    failure: NodeFailed | None = None
    was_known: bool = False
    seconds: float = 0.0
    reads: Mapping[str, str] = field(default_factory=dict)
    resident: Mapping[ComponentKey, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """What a task returns: its outcome, packed, and those of its reports that the client may not have.

    ``outcome`` is None if the task could not be read; ``problem`` then says why.
    """

    reports: tuple[Report, ...]
    outcome: Parcel | None
    problem: str | None = None
