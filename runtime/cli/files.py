"""The workflow files that a command line names, and what its options mean for each of them.

With several files an option that names a node (``--set``, ``--sweep``, ``--target``) holds for every file
that has this node; ``NAME:NODE`` means one file alone, NAME being the file's name without its suffix.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError, raise_all, suggestion
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.set_option import apply_settings
from run_graph.runtime.cli.sweep_option import read_sweep
from run_graph.runtime.cli.terminal import say
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.job import Job
from run_graph.runtime.formats.source import Source, read_source
from run_graph.runtime.sweep.expansion import Sweep
from run_graph.runtime.sweep.labels import slugs


@dataclass(frozen=True)
class FileJob:
    """One file of a command line.

    Attributes
    ----------
    name : str
        Stands before its nodes' ids: "" if it is the only one.
    arguments : Namespace
        The options as they hold for it; ``file`` is its path.
    sweep : Sweep
        The workflow with its settings and variants.
    environment : RunEnvironment
    """

    name: str
    arguments: Namespace
    sweep: Sweep
    environment: RunEnvironment

    @property
    def targets(self) -> list[str] | None:
        """The ids of what is wanted of it; None for all its output nodes."""
        return self.sweep.targets(self.arguments.target) or None

    def job(self) -> Job:
        """What is to be run of it."""
        originals = self.sweep.originals if self.sweep.axes else None
        return Job(
            self.sweep.workflow, self.environment, self.targets, originals, self.name, self.arguments.file
        )

    def place(self, node_id: str) -> str:
        """A node's id in the plan and in events."""
        return f"{self.name}:{node_id}" if self.name else node_id


def read_files(arguments: Namespace, registry: Registry) -> list[FileJob]:
    """Read all files, and what the options do to them.

    Raises
    ------
    WorkflowError, WorkflowErrors
        If a file cannot be read, or an option does not fit; each error names its file.
    """
    sources: dict[str, tuple[str, Source]] = {}
    errors: list[WorkflowError] = []
    for name, file in zip(_names(arguments.files), arguments.files, strict=True):
        try:
            sources[name] = file, read_source(Path(file))
            for note in () if arguments.quiet else sources[name][1].notes:
                say(f"{file}: {note}")
        except WorkflowError as error:
            errors.append(error)
    raise_all(errors)
    options = _options_of_each({name: source.workflow for name, (_, source) in sources.items()}, arguments)
    jobs: list[FileJob] = []
    for name, (file, source) in sources.items():
        if arguments.target and not options[name]["target"]:
            continue  # nothing is wanted of it
        own = Namespace(**{**vars(arguments), "file": file, **options[name]})
        try:
            jobs.append(_file_job(name, own, source, registry))
        except WorkflowError as error:
            errors.append(error.in_file(file))
    raise_all(errors)
    return jobs


def _names(files: Sequence[str]) -> list[str]:
    return [""] if len(files) == 1 else slugs(Path(file).stem for file in files)


def _file_job(name: str, arguments: Namespace, source: Source, registry: Registry) -> FileJob:
    workflow = apply_settings(source, arguments.set, registry)
    environment = RunEnvironment(source.folders, Path(arguments.output))
    sweep = read_sweep(Source(workflow, source.folders), arguments, registry, environment)
    return FileJob(name, arguments, sweep, environment)


def _options_of_each(
    workflows: Mapping[str, Workflow], arguments: Namespace
) -> dict[str, dict[str, list[str]]]:
    """Which of the options that name nodes hold for which file, by the file's name and the option's."""
    given = {"set": arguments.set, "sweep": arguments.sweep, "target": arguments.target}
    if "" in workflows:
        return {"": given}
    shares: dict[str, dict[str, list[str]]] = {name: {option: [] for option in given} for name in workflows}
    faults: list[Fault] = []
    for option, values in given.items():
        node_of = _target_node if option == "target" else _set_node
        for value in values:
            takers = _takers(value, node_of, workflows)
            for name, own_value in takers.items():
                shares[name][option].append(own_value)
            if not takers:
                faults.append(_fits_nowhere(option, value, node_of(value), workflows))
    if faults:
        raise WorkflowError(faults)
    return shares


def _target_node(value: str) -> str:
    return value


def _set_node(value: str) -> str:
    return value.partition("=")[0].rpartition(".")[0]


def _takers(value: str, node_of: Callable[[str], str], workflows: Mapping[str, Workflow]) -> dict[str, str]:
    """For which files a value is meant, and what it says to each."""
    node = node_of(value)
    found = {name: value for name, workflow in workflows.items() if node in workflow.nodes}
    name, colon, own_value = value.partition(":")
    if not found and colon and name in workflows and node_of(own_value) in workflows[name].nodes:
        return {name: own_value}
    return found


def _fits_nowhere(option: str, value: str, node: str, workflows: Mapping[str, Workflow]) -> Fault:
    known = dict.fromkeys(node_id for workflow in workflows.values() for node_id in workflow.nodes)
    advice = f"Nodes are {', '.join(list(known)[:12])}; {next(iter(workflows))}:NODE means one file's alone."
    return Fault(
        "target_not_found" if option == "target" else "setting_not_found",
        f"--{option} {value!r}: no file has a node {node!r}",
        suggestion(node, known, advice),
    )
