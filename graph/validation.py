"""Validation: every fault of a workflow at once, before anything runs.

``check`` never raises for a user's fault and never changes the workflow. It returns the faults and,
where there are none, the checked :class:`graph.Node` instances that a run needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from graph.context import Environment
from graph.declaration import OutputSpec, inputs_of, output_table, outputs_of
from graph.faults import Fault, Problem, suggestion
from graph.inputs import literal_faults
from graph.links import Link
from graph.node import Node
from graph.registry import Registry
from graph.sockets import compatible
from graph.workflow import NodeSpec, Workflow, own_copy, unwrapped

_SHOWN_OF_A_CYCLE = 10


@dataclass(frozen=True)
class Checked:
    """What validation found out.

    Attributes
    ----------
    workflow : Workflow
        As given, reduced to what the targets need.
    targets : tuple of str
        The ids whose outputs are wanted.
    nodes : mapping
        Checked instance of each needed node (links with integer slots), in topological order; empty
        if there are faults.
    faults : tuple of Fault
    """

    workflow: Workflow
    targets: tuple[str, ...]
    nodes: Mapping[str, Node] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def validate(
    workflow: Workflow,
    registry: Registry,
    targets: Iterable[str] | None = None,
    env: Environment | None = None,
) -> list[Fault]:
    """All faults that keep the targets from running; an empty list if there are none.

    Parameters
    ----------
    targets : ids, optional
        What is wanted. Default: all output nodes.
    env : Environment, optional
        Where files are; without it, faults that depend on files (:meth:`graph.Node.check`) are not sought.
    """
    return list(check(workflow, registry, targets, env).faults)


def check(
    workflow: Workflow,
    registry: Registry,
    targets: Iterable[str] | None = None,
    env: Environment | None = None,
) -> Checked:
    """Validate and keep the checked nodes; see :func:`validate` for the parameters.

    Nodes that no target needs are not validated, as in ComfyUI, but their classes must exist.
    """
    faults = [
        _unknown_class(node_id, spec, registry)
        for node_id, spec in workflow.nodes.items()
        if spec.class_type not in registry
    ]
    wanted = _wanted(workflow, registry, targets)
    faults += _target_faults(workflow, wanted)
    if not wanted and not faults:
        faults.append(_no_outputs(registry))
    needed = workflow.ancestors(wanted)
    part = workflow.only(needed)
    order = part.order()
    if order is None:
        faults += _cycle_faults(part)
    nodes: dict[str, Node] = {}
    for node_id, spec in part.nodes.items():
        if spec.class_type in registry:
            node, found = _check_node(spec, workflow, registry, env)
            faults += (fault.at(node_id, spec.class_type) for fault in found)
            if node is not None:
                nodes[node_id] = node
    if faults or order is None:
        return Checked(part, wanted, faults=tuple(faults))
    return Checked(part, wanted, {node_id: nodes[node_id] for node_id in order})


def _wanted(workflow: Workflow, registry: Registry, targets: Iterable[str] | None) -> tuple[str, ...]:
    """The targets; without any, all output nodes. A single string is one id, not its letters."""
    if targets is not None:
        return (targets,) if isinstance(targets, str) else tuple(targets)
    return tuple(
        node_id
        for node_id, spec in workflow.nodes.items()
        if spec.class_type in registry and registry[spec.class_type].is_output
    )


def _unknown_class(node_id: str, spec: NodeSpec, registry: Registry) -> Fault:
    if not spec.class_type:
        return Fault("missing_node_type", "the node has no class_type", 'Add "class_type": "...".', node_id)
    return Fault(
        "missing_node_type",
        f"there is no node class {spec.class_type!r}",
        suggestion(spec.class_type, registry, "run-graph --list-nodes lists all classes."),
        node_id,
        spec.class_type,
    )


def _no_outputs(registry: Registry) -> Fault:
    outputs = [name for name, node_class in registry.items() if node_class.is_output]
    example = f", such as {outputs[0]}," if outputs else ""
    return Fault(
        "prompt_no_outputs",
        "the workflow has no output node, so nothing would run",
        f"Add an output node{example} or name a target.",
    )


def _target_faults(workflow: Workflow, targets: Sequence[str]) -> list[Fault]:
    return [
        Fault(
            "target_not_found",
            f"there is no node {target!r} to run",
            suggestion(target, workflow.nodes, f"Nodes are {', '.join(list(workflow.nodes)[:10])}."),
        )
        for target in targets
        if target not in workflow.nodes
    ]


def _cycle_faults(workflow: Workflow) -> list[Fault]:
    faults = []
    for cycle in workflow.cycles():
        message = f"the node depends on itself: {_way_round(cycle, workflow)}"
        faults += [
            Fault(
                "dependency_cycle",
                message,
                "Remove one of these links.",
                node_id,
                workflow.nodes[node_id].class_type,
            )
            for node_id in cycle
        ]
    return faults


def _way_round(cycle: Sequence[str], workflow: Workflow) -> str:
    """The nodes of a cycle, those of a very long one in part."""
    shown = [f"{member} ({workflow.nodes[member].class_type})" for member in cycle[:_SHOWN_OF_A_CYCLE]]
    left_out = len(cycle) - len(shown)
    if left_out:
        shown.append(f"{left_out:,} more")
    return " -> ".join([*shown, shown[0]])


def _check_node(
    spec: NodeSpec, workflow: Workflow, registry: Registry, env: Environment | None
) -> tuple[Node | None, list[Fault]]:
    """A node's own faults: its links, then its literals, then what the class itself checks."""
    node_class = registry[spec.class_type]
    specs = inputs_of(node_class)
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, value in spec.inputs.items():
        if name in specs and isinstance(value, (Link, list)):
            values[name], fault = _check_link(name, value, specs[name].socket, workflow, registry)
            if fault is not None:
                faults.append(fault)
        else:
            values[name] = _literal(value)
    try:
        node = node_class.model_validate(values)
        if not faults and env is not None:
            faults = [_own_fault(problem) for problem in node.check(env)]
    except ValidationError as error:
        return None, faults + literal_faults(error, node_class, registry)
    except Exception as error:  # somebody's node: anything may be wrong with it
        return None, [*faults, _broken_check(error)]
    return node, faults


def _literal(value: Any) -> Any:
    """A literal without its wrapping, the node's own: what a node does to it stays in the node."""
    return own_copy(unwrapped(value))


def _own_fault(problem: Problem) -> Fault:
    return Fault(
        "custom_validation_failed",
        problem.message,
        problem.mend,
        input=problem.input,
        found=None if problem.found is None else str(problem.found),
        expected=problem.expected,
    )


def _broken_check(error: Exception) -> Fault:
    return Fault(
        "exception_during_validation",
        f"the node's own check raised {type(error).__name__}: {error}",
        "Report this to the author of the node.",
    )


def _check_link(
    name: str, value: Link | list[Any], accepted: str, workflow: Workflow, registry: Registry
) -> tuple[Link, Fault | None]:
    """The link with its slot as a number, and what is wrong with it.

    A wrong link is returned too, so that the input does not also count as missing.
    """
    if isinstance(value, list):
        return Link(""), Fault(
            "bad_linked_input",
            "a list here is a link, and this is none",
            'Write a link as ["node id", slot]; write a literal list as {"__value__": [...]}.',
            input=name,
            found=str(value)[:80],
            expected='["node id", slot number or output name]',
        )
    source = workflow.nodes.get(value.node_id)
    if source is None:
        return value, Fault(
            "link_to_missing_node",
            f"the link leads to node {value.node_id!r}, which does not exist",
            suggestion(value.node_id, workflow.nodes, "Link it to an existing node."),
            input=name,
            found=str(value.to_json()),
        )
    if source.class_type not in registry:
        return value, None  # reported at the source itself
    source_class = registry[source.class_type]
    output = output_table(source_class).get(value.slot)
    if output is None:
        outputs = outputs_of(source_class)
        listing = ", ".join(f"{out.slot} = {out.name} ({out.socket})" for out in outputs) or "none"
        return value, Fault(
            "link_to_missing_output",
            f"node {value.node_id!r} ({source.class_type}) has no output {value.slot!r}",
            "Link one of its outputs.",
            input=name,
            found=str(value.to_json()),
            expected=listing,
        )
    link = value if value.slot == output.slot else Link(value.node_id, output.slot)
    if compatible(output.socket, accepted):
        return link, None
    return link, _mismatch(name, value.node_id, source.class_type, output, accepted, registry)


def _mismatch(
    name: str, source_id: str, source_class: str, output: OutputSpec, accepted: str, registry: Registry
) -> Fault:
    """An output of the wrong type, and which one was probably meant."""
    outputs = outputs_of(registry[source_class])
    better = next((out.name for out in outputs if compatible(out.socket, accepted)), None)
    makers = ", ".join(registry.producing(accepted)[:3])
    mend = (
        f'Link its output {better!r} instead: ["{source_id}", "{better}"].'
        if better
        else f"Link it to a node that makes {accepted}{f', such as {makers}' if makers else ''}."
    )
    return Fault(
        "return_type_mismatch",
        f"output {output.name!r} of node {source_id!r} ({source_class}) does not fit here",
        mend,
        input=name,
        found=output.socket,
        expected=accepted,
    )


_COMFYUI_TYPES = {
    "link_to_missing_node": "exception_during_inner_validation",
    "link_to_missing_output": "exception_during_inner_validation",
    "value_not_a_multiple": "custom_validation_failed",
    "unknown_input": "custom_validation_failed",
}


def comfyui_error_type(code: str) -> str:
    """The name that ComfyUI's server gives to a fault of this code."""
    return _COMFYUI_TYPES.get(code, code)
