"""A workflow that is to be run, alone or together with others in one plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from run_graph.graph.faults import WorkflowError, raise_all
from run_graph.graph.normal_form import normalised
from run_graph.graph.registry import Registry
from run_graph.graph.validation import Checked, check
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.plan import Plan, make_plan, together
from run_graph.runtime.engine.provenance import describe_run, describe_variant


@dataclass(frozen=True)
class Job:
    """What is to be run, and where it reads and writes.

    Attributes
    ----------
    workflow : Workflow
    environment : RunEnvironment
    targets : node ids, optional
        What to compute. Default: all output nodes.
    originals : mapping, optional
        Names that files give to the nodes, by id (of a sweep, ``Sweep.originals``). A file then tells
        only of what it was made by; without, of the whole workflow, as ComfyUI's do.
    name : str
        Stands before its nodes' ids where several jobs run together: ``name:id``. Such names differ and
        hold no colon.
    source : str, optional
        The file that it came from, for messages.
    """

    workflow: Workflow
    environment: RunEnvironment
    targets: Iterable[str] | None = None
    originals: Mapping[str, str] | None = None
    name: str = ""
    source: str | None = None


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
        """What a node of this job may write beside its result, by ids of this job's workflow alone."""
        if self.job.originals is None:
            return describe_run(self.as_run, self.job.environment, seconds) | {"node_id": node_id}
        return describe_variant(self.as_run, node_id, self.job.originals, self.job.environment, seconds)


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
        """Whose a node of the plan is, and its id there."""
        if "" in self.by_name:
            return self.by_name[""], place
        name, _, node_id = place.partition(":")
        return self.by_name[name], node_id

    def environment_of(self, place: str) -> RunEnvironment:
        """Where a node of the plan reads and writes."""
        return self.owner(place)[0].job.environment

    def describe(self, place: str, seconds: Mapping[str, float]) -> dict[str, Any]:
        """What a node may write beside its result: of its own job, whatever else runs.

        ``seconds`` are those of the plan's nodes that have finished. A job that shares a stage with another
        names its time as well.
        """
        part, node_id = self.owner(place)
        seconds = dict(seconds)  # at once: asked on another thread it may grow meanwhile
        if part.job.name:
            steps = self.plan.steps
            duplicates = {own: steps[f"{part.job.name}:{own}"].node_id for own in part.checked.nodes}
            seconds = {
                own: seconds[duplicate] for own, duplicate in duplicates.items() if duplicate in seconds
            }
        return part.describe(node_id, seconds)


def as_run(jobs: Mapping[str, CheckedJob]) -> Workflow:
    """The graph as run, of all jobs by name."""
    if "" in jobs:
        return jobs[""].as_run
    nodes: dict[str, NodeSpec] = {}
    for name, part in jobs.items():
        places = {node_id: f"{name}:{node_id}" for node_id in part.as_run.nodes}
        nodes |= part.as_run.renamed(places).nodes
    return Workflow(nodes)


def check_jobs(jobs: Sequence[Job], registry: Registry) -> CheckedJobs:
    """Validate all jobs and make their one plan.

    Parameters
    ----------
    jobs : sequence of Job
        One without a name, or any number with names that differ.

    Raises
    ------
    WorkflowError
        If one has faults.
    WorkflowErrors
        If several have.
    """
    parts: dict[str, CheckedJob] = {}
    plans: dict[str, Plan] = {}
    errors: list[WorkflowError] = []
    for job in jobs:
        checked = check(job.workflow, registry, job.targets, job.environment)
        try:
            plans[job.name] = make_plan(checked, job.environment)
        except WorkflowError as error:
            errors.append(WorkflowError(error.faults, job.source))
        parts[job.name] = CheckedJob(job, checked)
    raise_all(errors)
    return CheckedJobs(parts, plans[""] if "" in plans else together(plans))
