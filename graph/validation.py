"""Validation: find every fault of a workflow at once, before anything runs.

:func:`check` never raises because of a fault and never changes the workflow. It returns the faults or, if
there are none, the checked :class:`graph.Node` instances that a run needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from run_graph.graph.context import Environment
from run_graph.graph.declaration import InputSpec, inputs_of
from run_graph.graph.faults import Fault, Names, Problem, listed
from run_graph.graph.link_faults import Known, check_link, fitting_slot
from run_graph.graph.links import Link
from run_graph.graph.literal_faults import literal_faults
from run_graph.graph.node import Node, validated
from run_graph.graph.packs import COMFYUI_ITSELF, pack_of
from run_graph.graph.registry import Registry
from run_graph.graph.short_text import shortened
from run_graph.graph.third_party import described, raise_if_interrupt
from run_graph.graph.workflow import NodeSpec, Workflow, own_copy, unwrapped

Classes = Mapping[str, type[Node]]

EDITOR_ONLY = frozenset({"upload", "choose file to upload", "control_after_generate"})
"""Buttons and switches that ComfyUI's editor writes among the inputs; they mean nothing to a run."""

_NO_SUCH_CLASS = "run-graph --list-nodes lists all classes; --nodes FILE.py adds those in a file."
_MAXIMUM_CYCLE_SHOWN = 10
_MAXIMUM_CYCLES_SHOWN = 20
_SCALARS = frozenset({int, float, str, bool, type(None)})


@dataclass(frozen=True)
class Checked:
    """The result of validation.

    Attributes
    ----------
    workflow : Workflow
        The given workflow, reduced to the nodes that the targets need.
    targets : tuple of str
        The ids of the nodes to run.
    nodes : mapping
        The checked instance of each node that the targets need, in topological order, with integer slots
        in its links; empty if there are faults.
    faults : tuple of Fault
    left_out : tuple of Fault
        The nodes whose class does not exist and that no target needs: they prevent nothing, but the user
        should know.
    """

    workflow: Workflow
    targets: tuple[str, ...]
    nodes: Mapping[str, Node] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    left_out: tuple[Fault, ...] = ()

    def refusing_left_out(self) -> Checked:
        """The same with the nodes that would be left out as faults."""
        return replace(self, faults=(*self.faults, *self.left_out), left_out=())

    def notes(self) -> list[tuple[str, str]]:
        """What to say of the nodes that are left out: for each class, the id of its first node and a text."""
        by_class: dict[str, list[Fault]] = {}
        for fault in self.left_out:
            by_class.setdefault(fault.class_type or "", []).append(fault)
        return [(str(faults[0].node_id), _left_out(faults)) for faults in by_class.values()]


def validate(
    workflow: Workflow,
    registry: Registry,
    targets: Iterable[str] | None = None,
    env: Environment | None = None,
) -> list[Fault]:
    """All faults that prevent the targets from running; an empty list if there are none.

    Parameters
    ----------
    targets : ids, optional
        The nodes to run. Default: all output nodes.
    env : Environment, optional
        Where files are. Without it :meth:`graph.Node.check` is not called, so a missing file is not found.
    """
    return list(check(workflow, registry, targets, env).faults)


def check(
    workflow: Workflow,
    registry: Registry,
    targets: Iterable[str] | None = None,
    env: Environment | None = None,
) -> Checked:
    """Validate and return the checked nodes too; the parameters are those of :func:`validate`.

    Nodes that no target needs are not validated, as in ComfyUI. If classes of theirs do not exist, they are
    ``left_out``; where nothing else would run, that is a fault, because one of them may be the output.
    """
    used = dict.fromkeys(spec.class_type for spec in workflow.nodes.values())
    classes = {class_type: registry[class_type] for class_type in used if class_type in registry}
    class_of = {node_id: classes.get(spec.class_type) for node_id, spec in workflow.nodes.items()}
    known = Known(workflow.nodes, classes, registry, class_of)
    wanted = _wanted(workflow, classes, targets)
    part = workflow.only(workflow.ancestors(wanted))
    faults: list[Fault] = []
    left_out: list[Fault] = []
    if len(classes) < len(used):
        class_names = Names(registry)
        for node_id, spec in workflow.nodes.items():
            if spec.class_type not in classes:
                needed = not wanted or node_id in part.nodes
                (faults if needed else left_out).append(_unknown_class(node_id, spec, class_names))
    faults += _target_faults(known, wanted)
    if not wanted and not faults:
        faults.append(_no_outputs(registry))
    order = part.order()
    if order is None:
        faults += _cycle_faults(part)
    nodes: dict[str, Node] = {}
    for node_id, spec in part.nodes.items():
        if spec.class_type in classes:
            node, found = _check_node(spec, known, env)
            if found:
                faults += [fault.at(node_id, spec.class_type) for fault in found]
            if node is not None:
                nodes[node_id] = node
    if faults or order is None:
        return Checked(part, wanted, faults=tuple(faults), left_out=tuple(left_out))
    if order != list(nodes):
        nodes = {node_id: nodes[node_id] for node_id in order}
    return Checked(part, wanted, nodes, left_out=tuple(left_out))


def node_faults(
    node_id: str, spec: NodeSpec, workflow: Workflow, registry: Registry, env: Environment | None = None
) -> list[Fault]:
    """The faults of one node alone, as :func:`check` finds them; none if its class does not exist.

    Parameters
    ----------
    spec : NodeSpec
        The node, which may have other inputs than in the workflow.
    workflow : Workflow
        The nodes that it may be linked to.
    """
    if spec.class_type not in registry:
        return []
    sources = [source for source in spec.upstream if source in workflow.nodes]
    class_of = {source: registry.get(workflow.nodes[source].class_type) for source in sources}
    _, faults = _check_node(spec, Known(workflow.nodes, registry, registry, class_of), env)
    return [fault.at(node_id, spec.class_type) for fault in faults]


def _wanted(workflow: Workflow, classes: Classes, targets: Iterable[str] | None) -> tuple[str, ...]:
    """The targets, or all output nodes if none are given. A single string is one id, not its letters."""
    if targets is not None:
        return (targets,) if isinstance(targets, str) else tuple(targets)
    return tuple(
        node_id
        for node_id, spec in workflow.nodes.items()
        if spec.class_type in classes and classes[spec.class_type].is_output
    )


def _unknown_class(node_id: str, spec: NodeSpec, class_names: Names) -> Fault:
    if not spec.class_type:
        return Fault("missing_node_type", "the node has no class_type", 'Add "class_type": "...".', node_id)
    return Fault(
        "missing_node_type",
        f"there is no node class {spec.class_type!r}",
        _class_fix(spec, class_names),
        node_id,
        spec.class_type,
    )


def _class_fix(spec: NodeSpec, class_names: Names) -> str:
    pack = pack_of(spec.class_type, spec.pack)
    if pack == COMFYUI_ITSELF:
        return "It is one of ComfyUI's own that does not exist here. Replace or remove the node."
    if pack is not None:
        return f"It is in {pack}, a package for ComfyUI. Replace or remove the node."
    return class_names.suggestion(spec.class_type, _NO_SUCH_CLASS)


def _left_out(faults: Sequence[Fault]) -> str:
    ids = [repr(fault.node_id) for fault in faults]
    one = len(ids) == 1
    nodes, them = (f"node {ids[0]} is", "it") if one else (f"nodes {listed(ids)} are", "them")
    return shortened(f"{faults[0].message}; {nodes} left out because no output needs {them}. {faults[0].fix}")


def _no_outputs(registry: Registry) -> Fault:
    outputs = [name for name, node_class in registry.items() if node_class.is_output]
    example = f", such as {outputs[0]}," if outputs else ""
    return Fault(
        "prompt_no_outputs",
        "the workflow has no output node, so nothing would run",
        f"Add an output node{example} or name a target.",
    )


def _target_faults(known: Known, targets: Sequence[str]) -> list[Fault]:
    nodes = f"The nodes are {listed(known.nodes)}."
    return [
        Fault(
            "target_not_found",
            f"there is no node {target!r} to run",
            known.node_ids.suggestion(target, nodes),
        )
        for target in targets
        if target not in known.nodes
    ]


def _cycle_faults(workflow: Workflow) -> list[Fault]:
    """One fault for each node on a cycle; where cycles are many, only the first are written out."""
    messages = dict.fromkeys(workflow.nodes_on_cycles(), "the node depends on itself, through other nodes")
    for cycle in reversed(workflow.cycles(_MAXIMUM_CYCLES_SHOWN)):  # a node's first cycle counts
        messages |= dict.fromkeys(cycle, f"the node depends on itself: {_cycle_path(cycle, workflow)}")
    return [
        Fault(
            "dependency_cycle",
            message,
            "Remove one of the links of the cycle.",
            node_id,
            workflow.nodes[node_id].class_type,
        )
        for node_id, message in messages.items()
    ]


def _cycle_path(cycle: Sequence[str], workflow: Workflow) -> str:
    """The nodes of a cycle in link direction; a long one is cut."""
    shown = [f"{member} ({workflow.nodes[member].class_type})" for member in cycle[:_MAXIMUM_CYCLE_SHOWN]]
    left_out = len(cycle) - len(shown)
    if left_out:
        shown.append(f"{left_out:,} more")
    return " -> ".join([*shown, shown[0]])


def _check_node(spec: NodeSpec, known: Known, env: Environment | None) -> tuple[Node | None, list[Fault]]:
    """Check one node: its links, then its literals, then the class's own ``check``."""
    node_class = known.classes[spec.class_type]
    specs, class_of = inputs_of(node_class), known.class_of
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, value in spec.inputs.items():
        declared, kind = specs.get(name), type(value)
        if kind in _SCALARS:
            if declared is not None or name not in EDITOR_ONLY:
                values[name] = value
        elif (
            kind is Link
            and declared is not None
            and fitting_slot(class_of.get(value.node_id), value.slot, declared.socket) == value.slot
        ):
            values[name] = value  # as most links are, of which there may be many thousands
        elif declared is not None and isinstance(value, (Link, list)):
            values[name], fault = check_link(name, value, declared.socket, known)
            if fault is not None:
                faults.append(fault)
        else:
            # A copy: a node that changes its literal must not change the workflow.
            values[name] = own_copy(unwrapped(value))
    try:
        node = _validated(node_class, values, specs)
        # `!= ()` skips the list for nodes without a check of their own, which are most.
        if not faults and env is not None and (problems := node.check(env)) != ():
            faults = [_fault_of(problem) for problem in problems]
    except ValidationError as error:
        return None, faults + literal_faults(error, node_class, known.registry)
    except BaseException as error:
        raise_if_interrupt(error)
        return None, [*faults, _broken_check(error)]
    return node, faults


def _validated(node_class: type[Node], values: dict[str, Any], specs: Mapping[str, InputSpec]) -> Node:
    """The node. A whole number may be written as a float of any size: JavaScript has no other numbers."""
    try:
        return validated(node_class, values)
    except ValidationError:
        whole = {
            name: int(value)
            for name, value in values.items()
            if isinstance(value, float)
            and value.is_integer()
            and name in specs
            and specs[name].socket == "INT"
        }
        if not whole:
            raise
        return validated(node_class, {**values, **whole})


def _fault_of(problem: Problem) -> Fault:
    return Fault(
        "custom_validation_failed",
        problem.message,
        problem.fix,
        input=problem.input,
        found=None if problem.found is None else str(problem.found),
        expected=problem.expected,
    )


def _broken_check(error: BaseException) -> Fault:
    return Fault(
        "exception_during_validation",
        f"the node's own check raised {described(error)}",
        "Report this to the author of the node.",
    )
