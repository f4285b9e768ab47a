"""Checking a prompt that was sent to ``POST /prompt``, with ComfyUI's answers to what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from run_graph.graph.declaration import inputs_of
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.api import api_workflow
from run_graph.graph.registry import Registry
from run_graph.graph.validation import check
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.models.permissions import under
from run_graph.runtime.server.folders import Folders
from run_graph.runtime.server.node_errors import node_error
from run_graph.runtime.server.object_info import node_additions, required_inputs, served_node
from run_graph.runtime.server.replies import Refused


@dataclass(frozen=True)
class CheckedPrompt:
    """A prompt that can run.

    Attributes
    ----------
    workflow : Workflow
    targets : tuple of str
        The output nodes that will run: those without a fault above them.
    node_errors : mapping
        What is wrong with the nodes of the others.
    """

    workflow: Workflow
    targets: tuple[str, ...]
    node_errors: Mapping[str, Any]


def checked_prompt(
    nodes: Any, registry: Registry, folders: Folders, chosen: Collection[str] | None = None
) -> CheckedPrompt:
    """A prompt as it was sent, checked.

    Parameters
    ----------
    nodes : object
        An object of nodes in API format.
    registry : Registry
    folders : Folders
    chosen : ids, optional
        The output nodes that are wanted. Default: all.

    Raises
    ------
    Refused
        If nothing of it can run; with all errors of all nodes.
    """
    workflow = read_prompt(nodes, registry)
    outputs = [
        node_id
        for node_id, spec in workflow.nodes.items()
        if registry[spec.class_type].is_output and (chosen is None or node_id in chosen)
    ]
    if not outputs:
        raise Refused("prompt_no_outputs", "Prompt has no outputs")
    with under(folders.rules()):
        checked = check(workflow, registry, outputs, folders.environment)
    faults = [fault for fault in checked.faults if not _is_about_content(fault, workflow, registry, folders)]
    faults += _missing_inputs(checked.workflow, registry, faults)
    if not faults:
        return CheckedPrompt(workflow, tuple(outputs), {})
    errors = _node_errors(faults, workflow, outputs, nodes, registry, folders)
    faulty = {output for each in errors.values() for output in each["dependent_outputs"]}
    good = tuple(output for output in outputs if output not in faulty)
    if not good:
        details = [
            f"{error['message']}: {error['details']}"
            for node_id, each in errors.items()
            if node_id in outputs
            for error in each["errors"]
        ]
        raise Refused(
            "prompt_outputs_failed_validation",
            "Prompt outputs failed validation",
            "\n".join(details),
            node_errors=errors,
        )
    return CheckedPrompt(workflow, good, errors)


def read_prompt(nodes: Any, registry: Registry) -> Workflow:
    """The workflow in a prompt, with the values that ComfyUI would convert converted. Raises Refused."""
    try:
        workflow = api_workflow(nodes)
    except WorkflowError as error:
        first = error.faults[0]
        raise Refused("invalid_prompt", str(first), first.fix) from None
    for node_id, spec in workflow.nodes.items():
        if spec.class_type not in registry:
            raise _unknown_class(node_id, spec)
    return Workflow({node_id: _as_sent(spec, registry) for node_id, spec in workflow.nodes.items()})


def _as_sent(spec: NodeSpec, registry: Registry) -> NodeSpec:
    """A node without the inputs that ComfyUI would ignore, and with numbers as text where text is wanted."""
    node_class = registry[spec.class_type]
    known = inputs_of(node_class)
    inputs = {
        name: str(value) if _is_number(value) and name in known and known[name].socket == "STRING" else value
        for name, value in spec.inputs.items()
        if name in known or not node_class.stock
    }
    return NodeSpec(spec.class_type, inputs, spec.title, spec.pack)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unknown_class(node_id: str, spec: NodeSpec) -> Refused:
    name = spec.class_type or None
    title = spec.title or name or node_id
    return Refused(
        "missing_node_type",
        f"Node '{title}' not found. The custom node may not be installed.",
        f"Node ID '#{node_id}'",
        extra={"node_id": node_id, "class_type": name, "node_title": title},
    )


def _is_about_content(fault: Fault, workflow: Workflow, registry: Registry, folders: Folders) -> bool:
    """Whether a fault is about the content of a picture that is there.

    Until the prompt runs another upload may have replaced it, so that is the run's error, as in ComfyUI.
    """
    if fault.code != "custom_validation_failed" or fault.node_id is None or fault.input is None:
        return False
    spec = workflow.nodes[fault.node_id]
    declared = inputs_of(registry[spec.class_type]).get(fault.input)
    name = spec.inputs.get(fault.input)
    if declared is None or not declared.hints.get("image_upload") or not isinstance(name, str):
        return False
    try:
        folders.environment.find_input(name)
    except OSError:
        return False
    return True


def _missing_inputs(workflow: Workflow, registry: Registry, faults: Collection[Fault]) -> list[Fault]:
    """The inputs without a value that ComfyUI wants one for, although ours have a default."""
    told = {(fault.node_id, fault.input) for fault in faults}
    return [
        Fault(
            "required_input_missing", "a required input is missing", "Add it.", node_id, spec.class_type, name
        )
        for node_id, spec in workflow.nodes.items()
        for name in required_inputs(registry[spec.class_type])
        if name not in spec.inputs and (node_id, name) not in told
    ]


def _outputs_of(node_id: str, workflow: Workflow, outputs: list[str]) -> list[str]:
    """The outputs that need a node, itself included."""
    readers = workflow.digraph
    reached, pending = {node_id}, [node_id]
    while pending:
        for reader in readers.successors(pending.pop()):
            if reader not in reached:
                reached.add(reader)
                pending.append(reader)
    return [output for output in outputs if output in reached]


def _node_errors(
    faults: Collection[Fault],
    workflow: Workflow,
    outputs: list[str],
    sent: Mapping[str, Any],
    registry: Registry,
    folders: Folders,
) -> dict[str, dict[str, Any]]:
    """ComfyUI's ``node_errors``, by node id."""
    names = cache(folders.files)  # each folder is read once for one answer
    found: dict[str, dict[str, Any]] = {}
    for fault in faults:
        node_id = fault.node_id or ""
        spec = workflow.nodes[node_id]
        if node_id not in found:
            dependent = _outputs_of(node_id, workflow, outputs)
            found[node_id] = {"errors": [], "dependent_outputs": dependent, "class_type": spec.class_type}
        node_class = registry[spec.class_type]
        declared = served_node(node_class, names)["input"]
        configs = declared["required"] | declared.get("optional", {}) | node_additions(node_class)["input"]
        given = sent[node_id].get("inputs", {})
        error = node_error(fault, given, node_class, configs.get(fault.input or ""))
        found[node_id]["errors"].append(error)
    return found
