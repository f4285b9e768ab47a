"""A workflow as one that ComfyUI runs, as far as its nodes have equivalents."""

from __future__ import annotations

from dataclasses import dataclass

from run_graph.graph.declaration import InputSpec, inputs_of, outputs_of
from run_graph.graph.faults import WorkflowError
from run_graph.graph.links import Link
from run_graph.graph.node import Node
from run_graph.graph.normal_form import normalised
from run_graph.graph.registry import Registry
from run_graph.graph.validation import check
from run_graph.graph.workflow import Workflow
from run_graph.runtime.formats.stock.redux_rules import NEEDS_PACK, REDUX_RULES
from run_graph.runtime.formats.stock.rewriting import Rewriting
from run_graph.runtime.formats.stock.rules import NOT_PACKED, RULES

_PACKED = {"StyleModelApplySimple", "ReduxAdvanced"}


@dataclass(frozen=True)
class StockWorkflow:
    """A workflow of ComfyUI's nodes.

    Attributes
    ----------
    workflow : Workflow
    notes : tuple of str
        What the user has to do for it, and what differs there.
    """

    workflow: Workflow
    notes: tuple[str, ...]


def stock_workflow(workflow: Workflow, registry: Registry) -> StockWorkflow:
    """A workflow with ComfyUI's nodes in place of run-graph's own.

    Nodes that have an equivalent keep their ids; those that come with them have ids that begin with theirs.
    Nodes that no output needs are left out. Files are not looked for.

    Raises
    ------
    WorkflowError
        If the workflow has faults, or something has no equivalent; names all of it.
    """
    checked = check(workflow, registry)
    if checked.faults:
        raise WorkflowError(checked.faults)
    new = Rewriting(normalised(checked.nodes, workflow))
    for node_id, node in checked.nodes.items():  # each after those that it reads
        rule = RULES.get(node.class_type) or REDUX_RULES.get(node.class_type)
        if rule is not None:
            rule(new, node_id)
        elif node.stock:
            _copy(new, node_id, type(node))
        else:
            new.lacks(node_id, None, "ComfyUI has no such node")
    if new.faults:
        raise WorkflowError(new.faults)
    left_out = [node_id for node_id in workflow.nodes if node_id not in checked.nodes]
    if left_out:
        new.note("left out, because no output needs them", *left_out)
    return StockWorkflow(Workflow(new.nodes), tuple(new.lines()))


def _copy(new: Rewriting, node_id: str, node_class: type[Node]) -> None:
    """Take one of ComfyUI's nodes as it is, without the inputs that only ours has."""
    inputs = {}
    for name, spec in inputs_of(node_class).items():
        if name not in new.workflow.nodes[node_id].inputs:
            continue
        if spec.is_added:
            _check_added(new, node_id, name, spec)
        else:
            inputs[name] = new.value(node_id, name)
    if node_class.class_type in _PACKED:
        new.note(NEEDS_PACK, node_class.class_type)
    link = new.add(node_id, node_class.class_type, inputs)
    for output in outputs_of(node_class):
        new.outputs[node_id, output.slot] = Link(link.node_id, output.slot)


def _check_added(new: Rewriting, node_id: str, name: str, spec: InputSpec) -> None:
    value = new.workflow.nodes[node_id].inputs[name]
    if value == spec.default:
        return
    if name == "quantize":
        new.note(NOT_PACKED, node_id)
    else:
        new.lacks(node_id, name, "ComfyUI's node has no such input", value)
