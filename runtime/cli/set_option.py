"""``--set node.input=value``: inputs of a workflow replaced from the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import InputSpec, inputs_of
from run_graph.graph.faults import Fault, WorkflowError, suggestion
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.formats.source import Source


def apply_settings(source: Source, settings: Iterable[str], registry: Registry) -> Workflow:
    """The workflow with inputs replaced.

    The type of the input decides how a value is read: text as it is, everything else as JSON (a link is
    ``["id",0]``). The file of an image input is looked for in the working directory first, because the name
    was typed there.

    Raises
    ------
    WorkflowError
        With every setting whose node or input does not exist.
    """
    workflow = source.workflow
    faults: list[Fault] = []
    for setting in settings:
        try:
            node_id, name, text = split_setting("--set", setting)
            spec = find_input_spec(workflow, registry, node_id, name, f"--set {setting!r}")
            workflow = workflow.with_input(node_id, name, read_value(text, spec, source))
        except WorkflowError as error:
            faults += error.faults
    if faults:
        raise WorkflowError(faults)
    return workflow


def split_setting(option: str, setting: str) -> tuple[str, str, str]:
    """Node id, input name and the text after the equals sign.

    Raises
    ------
    WorkflowError
        If the setting has another form; the message names the setting and the option.
    """
    place, equals, text = setting.partition("=")
    node_id, dot, name = place.rpartition(".")  # ids may contain dots, input names cannot
    if not (equals and dot and node_id and name):
        raise _fault(
            "bad_setting",
            f"{option} {setting!r} is not of the form NODE.INPUT=VALUE",
            f"Write it like {option} sample.steps=4.",
        )
    return node_id, name, text


def find_input_spec(
    workflow: Workflow, registry: Registry, node_id: str, name: str, where: str
) -> InputSpec | None:
    """The input that a setting names; None if the class of its node is unknown.

    Raises
    ------
    WorkflowError
        If there is no such node or input; the message begins with ``where``.
    """
    if node_id not in workflow.nodes:
        advice = f"The nodes are {', '.join(list(workflow.nodes)[:12])}."
        raise _fault(
            "setting_not_found",
            f"{where}: there is no node {node_id!r}",
            suggestion(node_id, workflow.nodes, advice),
        )
    class_type = workflow.nodes[node_id].class_type
    if class_type not in registry:
        return None  # validation reports the class
    specs = inputs_of(registry[class_type])
    if name not in specs:
        advice = f"The inputs are {', '.join(specs)}." if specs else "It has no inputs."
        raise _fault(
            "setting_not_found",
            f"{where}: {class_type} has no input {name!r}",
            suggestion(name, specs, advice),
        )
    return specs[name]


def read_value(text: str, spec: InputSpec | None, source: Source) -> Any:
    """The value in a setting, read according to the type of its input: see :func:`apply_settings`."""
    if spec is not None and spec.socket == "STRING":
        return file_from_here(text, source) if spec.hints.get("image_upload") else text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if spec is not None and text in spec.options and value not in spec.options else value


def file_from_here(name: str, source: Source) -> str:
    """The name; absolute if a file next to the workflow would hide the one in the working directory."""
    here = Path(name)
    hidden_by = next((folder / name for folder in source.folders if (folder / name).is_file()), None)
    if not here.is_absolute() and here.is_file() and hidden_by is not None and not here.samefile(hidden_by):
        return os.path.abspath(here)
    return name


def _fault(code: str, message: str, fix: str) -> WorkflowError:
    return WorkflowError([Fault(code, message, fix)])
