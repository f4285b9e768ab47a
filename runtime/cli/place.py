"""Which input a setting means: ``NODE.INPUT``, or ``INPUT`` alone where only one node has such an input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from run_graph.graph.declaration import InputSpec, inputs_of, parameters_of
from run_graph.graph.faults import Fault, WorkflowError, listed, suggestion
from run_graph.graph.links import Link
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

_ALL_INPUTS = "run-graph FILE --inputs lists all that can be set."


@dataclass(frozen=True)
class Place:
    """An input of a node; ``spec`` is None if the class of the node is unknown."""

    node_id: str
    input: str
    spec: InputSpec | None

    def __str__(self) -> str:
        return f"{self.node_id}.{self.input}"


def split_setting(option: str, setting: str) -> tuple[str, str]:
    """What is before and after the equals sign.

    Raises
    ------
    WorkflowError
        If the setting has another form; the message names the setting and the option.
    """
    place, equals, text = setting.partition("=")
    node_id, dot, name = place.rpartition(".")
    if not (equals and name and (node_id or not dot)):
        raise _fault(
            "bad_setting",
            f"{option} {setting!r} is not of the form NODE.INPUT=VALUE or INPUT=VALUE",
            f"Write it like {option} sample.steps=4.",
        )
    return place, text


def has_place(workflow: Workflow, registry: Registry, place: str) -> bool:
    """Whether the workflow has the node or, of an input alone, a node with such an input."""
    node_id, dot, name = place.rpartition(".")
    return node_id in workflow.nodes if dot else bool(_owners(workflow, registry, name))


def find_place(workflow: Workflow, registry: Registry, place: str, where: str) -> Place:
    """The input that a setting names.

    Parameters
    ----------
    place : str
        ``NODE.INPUT``; ids may contain dots, input names cannot. Or ``INPUT`` alone: the only input of this
        name that takes values and is not linked.
    where : str
        The option and the setting, with which messages begin.

    Raises
    ------
    WorkflowError
        If there is no such node or input, or several nodes have it.
    """
    node_id, dot, name = place.rpartition(".")
    if not dot:
        node_id = _only_owner(workflow, registry, name, where)
    if node_id not in workflow.nodes:
        raise _fault(
            "setting_not_found",
            f"{where}: there is no node {node_id!r}",
            suggestion(node_id, workflow.nodes, f"The nodes are {listed(workflow.nodes)}."),
        )
    class_type = workflow.nodes[node_id].class_type
    if class_type not in registry:
        return Place(node_id, name, None)  # validation reports the class
    specs = inputs_of(registry[class_type])
    if name not in specs:
        advice = f"The inputs are {listed(specs)}." if specs else "It has no inputs."
        raise _fault(
            "setting_not_found",
            f"{where}: {class_type} has no input {name!r}",
            suggestion(name, specs, advice),
        )
    return Place(node_id, name, specs[name])


def _only_owner(workflow: Workflow, registry: Registry, name: str, where: str) -> str:
    """The node that an input given by its name alone belongs to."""
    owners = _owners(workflow, registry, name)
    unlinked = [
        node_id for node_id in owners if not isinstance(workflow.nodes[node_id].inputs.get(name), Link)
    ]
    if len(unlinked) == 1:
        return unlinked[0]
    if unlinked:
        raise _fault(
            "setting_ambiguous",
            f"{where}: {len(unlinked)} nodes have an input {name!r}",
            f"Write one of {listed(f'{node_id}.{name}' for node_id in unlinked)}.",
        )
    if owners:
        raise _fault(
            "setting_not_found",
            f"{where}: the input {name!r} is linked wherever a node has it",
            f"To replace a link, name the node: {listed(f'{node_id}.{name}' for node_id in owners)}.",
        )
    if name in workflow.nodes:
        fix = f"{name!r} is a node: write {name}.INPUT=VALUE. {_ALL_INPUTS}"
    else:
        fix = suggestion(name, dict.fromkeys(_names(workflow, registry)), _ALL_INPUTS)
    raise _fault("setting_not_found", f"{where}: no node has an input {name!r} that takes a value", fix)


def _owners(workflow: Workflow, registry: Registry, name: str) -> list[str]:
    """The nodes with an input of this name that takes values."""
    return [
        node_id
        for node_id, spec in workflow.nodes.items()
        if spec.class_type in registry and name in parameters_of(registry[spec.class_type])
    ]


def _names(workflow: Workflow, registry: Registry) -> Iterable[str]:
    for class_type in dict.fromkeys(spec.class_type for spec in workflow.nodes.values()):
        if class_type in registry:
            yield from parameters_of(registry[class_type])


def _fault(code: str, message: str, fix: str) -> WorkflowError:
    return WorkflowError([Fault(code, message, fix)])
