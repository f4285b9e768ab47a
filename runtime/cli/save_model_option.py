"""``--save-model DIR``: the models that a workflow's loaders choose, as SaveModel writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from run_graph.graph.declaration import inputs_of, outputs_of
from run_graph.graph.faults import Fault, WorkflowError, listed
from run_graph.graph.links import Link
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.cli.files import FileJob, job_of, read_files
from run_graph.runtime.cli.options import Options
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.formats.source import Source
from run_graph.runtime.models.node_roles import is_adapter, is_loader

_SAVER = "SaveModel"
_OPTION = "--save-model"

# What `--set` changes where no file is named. A loader that no setting names is left out.
_WITHOUT_FILE = Workflow({"flux": NodeSpec("LoadFlux"), "redux": NodeSpec("LoadRedux")})


def saving_job(options: Options, target: Path, registry: Registry) -> FileJob:
    """The job that saves what the loaders of the workflow choose into a new folder `target`.

    With ``--target``, only those loaders count.

    Raises
    ------
    WorkflowError, WorkflowErrors
        If the workflow cannot be read or has no loader, or two loaders choose different models of a kind, or
        there is a sweep.
    """
    if options.nodes.sweeps:
        fault = Fault("several_models", f"{_OPTION} writes one model", "Leave out --sweep.")
        raise WorkflowError([fault])
    given = _named(options, registry) if options.files else _unnamed(options, registry)
    job = given.job
    sources = _sources(job.workflow, options.nodes.targets, registry, given.file)
    node = NodeSpec(_SAVER, {"folder": target.name, **sources})
    name = next(name for name in _names() if name not in job.workflow.nodes)
    workflow = Workflow({**job.workflow.nodes, name: node})
    environment = replace(job.environment, output_directory=target.absolute().parent)
    return replace(given, job=replace(job, workflow=workflow, environment=environment, targets=[name]))


def left_out(workflow: Workflow, registry: Registry) -> Iterator[str]:
    """What of a workflow's models is not saved, in words."""
    adapters = [node_id for node_id, spec in workflow.nodes.items() if is_adapter(registry[spec.class_type])]
    if adapters:
        yield f"{listed(adapters)}: LoRAs are not part of what is saved; apply them to the saved model"


def _names() -> Iterator[str]:
    """Ids for the node that saves."""
    yield "save_model"
    yield from (f"save_model_{number}" for number in count(2))


def _named(options: Options, registry: Registry) -> FileJob:
    (job,) = read_files(options, registry, check_values=True)
    return job


def _unnamed(options: Options, registry: Registry) -> FileJob:
    source = Source(_WITHOUT_FILE, [Path.cwd()])
    environment = RunEnvironment(source.folders, options.output)
    job = job_of(_OPTION, "", source, options.nodes, registry, environment, check_values=True)
    nodes = {
        node_id: spec
        for node_id, spec in job.job.workflow.nodes.items()
        if spec != source.workflow.nodes[node_id]
    }
    if not nodes:
        fix = "Say which model: --set flux.model=dev --set flux.quantize=4, or name a workflow."
        raise WorkflowError([Fault("no_model", f"{_OPTION} does not know what to save", fix)])
    return replace(job, job=replace(job.job, workflow=Workflow(nodes)))


def _sources(workflow: Workflow, chosen: Sequence[str], registry: Registry, file: str) -> dict[str, Link]:
    """For each input of SaveModel the loader's output that it is linked to."""
    wanted = {spec.socket: name for name, spec in inputs_of(registry[_SAVER]).items() if spec.link_only}
    loaders = [
        node_id
        for node_id, spec in workflow.nodes.items()
        if spec.class_type in registry
        and is_loader(registry[spec.class_type])
        and (not chosen or node_id in chosen)
    ]
    found: dict[str, list[Link]] = {}
    for node_id in loaders:
        for output in outputs_of(registry[workflow.nodes[node_id].class_type]):
            found.setdefault(wanted[output.socket], []).append(Link(node_id, output.slot))
    faults = [
        Fault(
            "several_models",
            f"{_OPTION}: {listed([link.node_id for link in links])} each choose what is saved as {name}",
            "Choose the loaders with --target NODE, which may be repeated.",
        )
        for name, links in found.items()
        if len({_same(workflow.nodes[link.node_id]) for link in links}) > 1
    ]
    if not found:
        faults = [
            Fault("no_model", f"{_OPTION}: no node of the workflow loads a model", "Add a LoadFlux node.")
        ]
    if faults:
        raise WorkflowError(faults, file)
    return {name: links[0] for name, links in found.items()}


def _same(spec: NodeSpec) -> str:
    """A text that is equal for nodes that choose the same model."""
    return repr((spec.class_type, sorted(spec.inputs.items(), key=repr)))
