"""The workflow files that a command line names, and what its options mean for each of them.

With several files, an option that names a node (``--set``, ``--sweep``, ``--target``) applies to every file
that has this node. ``NAME:NODE`` applies to one file only; NAME is the name of the file without its suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError, listed, raise_all, suggestion
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.options import NodeOptions, Options, TrialOptions
from run_graph.runtime.cli.place import has_place
from run_graph.runtime.cli.set_option import apply_settings
from run_graph.runtime.cli.sweep_option import read_sweep
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.job import Job
from run_graph.runtime.formats.source import STANDARD_INPUT, Source, read_source, read_standard_input
from run_graph.runtime.formats.trial import Trial, tried
from run_graph.runtime.sweep.expansion import Sweep
from run_graph.runtime.sweep.labels import slugs


@dataclass(frozen=True)
class FileJob:
    """One file of a command line.

    Attributes
    ----------
    file : str
        Its path, as typed, or ``standard input``.
    sweep : Sweep
        The workflow with its settings and variants.
    job : Job
        What runs: the workflow of the sweep. Its name is "" if this is the only file.
    source : Source
        What the file itself says, before any option.
    chosen : mapping
        The seeds that were chosen at random, by ``NODE.INPUT``.
    """

    file: str
    sweep: Sweep
    job: Job
    source: Source
    chosen: Mapping[str, int]

    @property
    def notes(self) -> list[str]:
        """What the user should know about the file, such as what was renamed since it was written."""
        seeds = [f"{place} = {seed}, chosen at random" for place, seed in self.chosen.items()]
        return [*self.source.notes, *seeds]

    def place(self, node_id: str) -> str:
        """The id of a node of this file in the plan and in events."""
        return f"{self.job.name}:{node_id}" if self.job.name else node_id


def read_files(command: Options, registry: Registry, *, check_values: bool) -> list[FileJob]:
    """Read all files and apply the options to them.

    Parameters
    ----------
    command : Options
        The files, ``-`` for standard input, the output folder, and what is changed in the files.
    registry : Registry
    check_values : bool
        Whether to validate every value of a sweep.

    Returns
    -------
    list of FileJob
        One for each file; with ``--target``, only the files that have a target.

    Raises
    ------
    WorkflowError, WorkflowErrors
        If a file cannot be read, or an option does not fit; each error names its file.
    """
    options, output = command.nodes, command.output
    sources_read = _read_all(command.files, registry, command.trial)
    files = [STANDARD_INPUT if file == "-" else file for file in command.files]
    names = [""] if len(files) == 1 else slugs(Path(file).stem for file in files)
    sources = dict(zip(names, sources_read, strict=True))
    workflows = {name: source.workflow for name, source in sources.items()}
    own_options = _options_by_file(workflows, options, registry)
    jobs: list[FileJob] = []
    errors: list[WorkflowError] = []
    for (name, source), file in zip(sources.items(), files, strict=True):
        own = own_options[name]
        if options.targets and not own.targets:
            continue
        environment = RunEnvironment(source.folders, output)
        try:
            jobs.append(job_of(file, name, source, own, registry, environment, check_values=check_values))
        except WorkflowError as error:
            errors.append(error.in_file(file))
    raise_all(errors)
    return jobs


def job_of(
    file: str,
    name: str,
    source: Source,
    own: NodeOptions,
    registry: Registry,
    environment: RunEnvironment,
    *,
    check_values: bool,
) -> FileJob:
    """The job of one file with the options that apply to it; see `read_files`. Raises WorkflowError."""
    _check_targets(own.targets, source.workflow)
    applied = apply_settings(source, own.settings, registry)
    changed = replace(source, workflow=applied.workflow)
    sweep = read_sweep(changed, own, registry, environment, check_values=check_values)
    job = _job(file, name, sweep, own.targets, environment)
    return FileJob(file, sweep, job, source, applied.chosen)


def _check_targets(targets: Iterable[str], workflow: Workflow) -> None:
    faults = [
        Fault(
            "target_not_found",
            f"--target {target!r}: there is no node of this name",
            suggestion(target, workflow.nodes, f"The nodes are {listed(workflow.nodes)}."),
        )
        for target in targets
        if target not in workflow.nodes
    ]
    if faults:
        raise WorkflowError(faults)


def read_file(file: str, registry: Registry, trial: TrialOptions) -> Source:
    """Read one file, ``-`` for standard input, and change it as ``--model`` and ``--max-pixels`` say.

    Raises
    ------
    WorkflowError
        If there is no workflow in it.
    """
    source = read_standard_input(registry) if file == "-" else read_source(Path(file), registry)
    workflow, notes = tried(source.workflow, registry, Trial(trial.model, trial.max_pixels))
    return replace(source, workflow=workflow, notes=(*source.notes, *notes))


def _read_all(files: Iterable[str], registry: Registry, trial: TrialOptions) -> list[Source]:
    sources: list[Source] = []
    errors: list[WorkflowError] = []
    for file in files:
        try:
            sources.append(read_file(file, registry, trial))
        except WorkflowError as error:
            errors.append(error)
    raise_all(errors)
    return sources


def _job(file: str, name: str, sweep: Sweep, targets: Sequence[str], environment: RunEnvironment) -> Job:
    originals = sweep.originals if sweep.axes else None
    wanted = sweep.targets(targets) or None
    return Job(sweep.workflow, environment, wanted, originals, name, file, sweep.recorded)


def _options_by_file(
    workflows: Mapping[str, Workflow], options: NodeOptions, registry: Registry
) -> dict[str, NodeOptions]:
    """The options that apply to each file, by the file's name.

    Raises
    ------
    WorkflowError
        With every option that fits none of several files.
    """
    if "" in workflows:
        return {"": options}

    def has_setting(workflow: Workflow, value: str) -> bool:
        return has_place(workflow, registry, value.partition("=")[0])

    def has_target(workflow: Workflow, value: str) -> bool:
        return value in workflow.nodes

    faults: list[Fault] = []
    settings = _by_file("--set", options.settings, has_setting, workflows, faults)
    sweeps = _by_file("--sweep", options.sweeps, has_setting, workflows, faults)
    targets = _by_file("--target", options.targets, has_target, workflows, faults)
    if faults:
        raise WorkflowError(faults)
    return {
        name: replace(options, settings=settings[name], sweeps=sweeps[name], targets=targets[name])
        for name in workflows
    }


def _by_file(
    option: str,
    values: Iterable[str],
    fits: Callable[[Workflow, str], bool],
    workflows: Mapping[str, Workflow],
    faults: list[Fault],
) -> dict[str, tuple[str, ...]]:
    """The values of one option that apply to each file; a value that fits no file is added to ``faults``."""
    shares: dict[str, tuple[str, ...]] = dict.fromkeys(workflows, ())
    for value in values:
        takers = _takers(value, fits, workflows)
        for name, own_value in takers.items():
            shares[name] += (own_value,)
        if not takers:
            faults.append(_fits_nowhere(option, value, workflows))
    return shares


def _takers(
    value: str, fits: Callable[[Workflow, str], bool], workflows: Mapping[str, Workflow]
) -> dict[str, str]:
    """The files that a value is meant for, and the value without the name of the file."""
    found = {name: value for name, workflow in workflows.items() if fits(workflow, value)}
    name, colon, own_value = value.partition(":")
    if not found and colon and name in workflows and fits(workflows[name], own_value):
        return {name: own_value}
    return found


def _fits_nowhere(option: str, value: str, workflows: Mapping[str, Workflow]) -> Fault:
    place = value.partition("=")[0]
    node, dot, name = (place, "", "") if option == "--target" else place.rpartition(".")
    known = dict.fromkeys(node_id for workflow in workflows.values() for node_id in workflow.nodes)
    advice = f"The nodes are {listed(known)}; {next(iter(workflows))}:NODE means the node of that file only."
    if option != "--target" and not dot:
        message = f"{option} {value!r}: no file has a node with an input {name!r} that takes a value"
        return Fault("setting_not_found", message, "run-graph FILE --inputs lists all that can be set.")
    return Fault(
        "target_not_found" if option == "--target" else "setting_not_found",
        f"{option} {value!r}: no file has a node {node!r}",
        suggestion(node, known, advice),
    )
