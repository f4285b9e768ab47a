"""Workflows to run, alone or several together in one plan.

A :class:`Job` is what the caller wants. Validation makes a :class:`CheckedJob` of it, and one plan for all
that run together: :class:`CheckedJobs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from run_graph.graph.faults import WorkflowError, raise_all
from run_graph.graph.normal_form import normalised
from run_graph.graph.registry import Registry
from run_graph.graph.validation import Checked, check
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.plan import Plan, make_plan, together
from run_graph.runtime.engine.provenance import carried_documents, describe_run, describe_variant


@dataclass(frozen=True)
class Job:
    """A workflow to run, and where it reads and writes.

    Attributes
    ----------
    workflow : Workflow
    environment : RunEnvironment
    targets : node ids, optional
        What to compute. Default: all output nodes.
    originals : mapping, optional
        Names that files give to the nodes, by id (for a sweep, ``Sweep.originals``). If given, a file
        describes only the nodes that made it; otherwise the whole workflow, as ComfyUI's files do.
    name : str
        Prefix of its nodes' ids where several jobs run together: ``name:id``. Such names are distinct and
        contain no colon.
    source : str, optional
        The file that it came from, for messages.
    recorded : mapping
        Values that files record in place of those that ran, by node id and input (``Sweep.recorded``). Used
        with ``originals`` only.
    """

    workflow: Workflow
    environment: RunEnvironment
    targets: Iterable[str] | None = None
    originals: Mapping[str, str] | None = None
    name: str = ""
    source: str | None = None
    recorded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckedJob:
    """A job whose workflow has been validated."""

    job: Job
    checked: Checked

    @cached_property
    def as_run(self) -> Workflow:
        """The graph as run, every parameter written out."""
        return normalised(self.checked.nodes, self.checked.workflow)

    def describe(self, node_id: str, seconds: Mapping[str, float]) -> dict[str, Any]:
        """What a node of this job may write beside its result; ids are those of this job's workflow."""
        job = self.job
        if job.originals is None:
            found = describe_run(self.as_run, job.environment, seconds, self._documents)
            return found | {"node_id": node_id}
        return describe_variant(
            self.as_run, node_id, job.originals, job.environment, seconds, self._registry, job.recorded
        )

    @cached_property
    def _documents(self) -> Mapping[str, Any]:
        """What every picture of the job carries beside the graph."""
        return carried_documents(self.as_run, self._registry, self.job.environment)

    @cached_property
    def _registry(self) -> Registry:
        """The classes of its nodes."""
        return Registry(dict.fromkeys(type(node) for node in self.checked.nodes.values()))


@dataclass(frozen=True)
class CheckedJobs:
    """Jobs that can run, and the one plan for all of them.

    Attributes
    ----------
    by_name : mapping
    plan : Plan
    """

    by_name: Mapping[str, CheckedJob]
    plan: Plan

    def owner(self, place: str) -> tuple[CheckedJob, str]:
        """The job that a node of the plan belongs to, and its id in that job."""
        if "" in self.by_name:
            return self.by_name[""], place
        name, _, node_id = place.partition(":")
        return self.by_name[name], node_id

    def environment_of(self, place: str) -> RunEnvironment:
        """Where a node of the plan reads and writes."""
        return self.owner(place)[0].job.environment

    def describe(self, place: str, seconds: Mapping[str, float]) -> dict[str, Any]:
        """What a node may write beside its result: about its own job, whatever else runs.

        ``seconds`` are those of the plan's nodes that have finished. A stage that jobs share is listed with
        its time in each of them.
        """
        owner, node_id = self.owner(place)
        seconds = dict(seconds)  # copied first: on another thread it may grow meanwhile
        if owner.job.name:
            steps = self.plan.steps
            duplicates = {own: steps[f"{owner.job.name}:{own}"].node_id for own in owner.checked.nodes}
            seconds = {
                own: seconds[duplicate] for own, duplicate in duplicates.items() if duplicate in seconds
            }
        return owner.describe(node_id, seconds)


def as_run(jobs: Mapping[str, CheckedJob]) -> Workflow:
    """The graph as run of all jobs, given by name."""
    if "" in jobs:
        return jobs[""].as_run
    nodes: dict[str, NodeSpec] = {}
    for name, job in jobs.items():
        places = {node_id: f"{name}:{node_id}" for node_id in job.as_run.nodes}
        nodes |= job.as_run.renamed(places).nodes
    return Workflow(nodes)


def left_out_notes(jobs: Mapping[str, CheckedJob]) -> Iterator[tuple[str, str]]:
    """The places of the nodes that are left out (``Checked.left_out``), and what to say of each."""
    for name, each in jobs.items():
        for node_id, note in each.checked.notes():
            yield f"{name}:{node_id}" if name else node_id, note


def check_jobs(jobs: Sequence[Job], registry: Registry, *, strict: bool = False) -> CheckedJobs:
    """Validate all jobs and make one plan for them.

    Parameters
    ----------
    jobs : sequence of Job
        One without a name, or any number with distinct names.
    registry : Registry
    strict : bool
        Whether a node of a missing class is a fault even where no target needs it.

    Raises
    ------
    WorkflowError
        If one has faults.
    WorkflowErrors
        If several have.
    """
    by_name: dict[str, CheckedJob] = {}
    plans: dict[str, Plan] = {}
    errors: list[WorkflowError] = []
    for job in jobs:
        checked = check(job.workflow, registry, job.targets, job.environment)
        if strict:
            checked = checked.refusing_left_out()
        try:
            plans[job.name] = make_plan(checked, job.environment)
        except WorkflowError as error:
            errors.append(WorkflowError(error.faults, job.source))
        by_name[job.name] = CheckedJob(job, checked)
    raise_all(errors)
    return CheckedJobs(by_name, plans[""] if "" in plans else together(plans))
