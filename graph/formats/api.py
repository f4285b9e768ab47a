"""Reading workflow files: strict JSON, ComfyUI's API format, and clear messages for everything else."""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from run_graph.graph.faults import Fault, WorkflowError, shorten, suggestion
from run_graph.graph.formats.v01 import migrated
from run_graph.graph.json_values import bad_json_value
from run_graph.graph.workflow import Workflow

# A workflow of 20,000 nodes is about 4 MB; a file larger than this is something else.
MAXIMUM_BYTES = 256 * 2**20
# Parameters are flat or nearly flat; unlimited depth would need care wherever values are walked.
MAXIMUM_DEPTH = 64

_GIVE_ANOTHER_FILE = "Give a JSON workflow file, or a picture made by run-graph."


def load_workflow(path: str | Path, report: Callable[[str], None] | None = None) -> Workflow:
    """Read a workflow file.

    Parameters
    ----------
    path : str or Path
    report : callable, optional
        Gets a line if the file was written for version 0.1 (:mod:`graph.formats.v01`). Default: a Python
        warning that names the file.

    Raises
    ------
    WorkflowError
        If it cannot be read, is not JSON or not a workflow; names the file, the place and the fix.
    """
    path = Path(path)
    try:
        if _is_device(path):
            fault = Fault("not_a_file", "this is a device, not a file", "Check the path.")
            raise WorkflowError([fault], str(path))
        with open(path, "rb") as file:
            return read_workflow(file, str(path), report or partial(_warn, path))
    except OSError as error:
        raise WorkflowError([_unreadable(path, error)], str(path)) from None


def read_workflow(
    file: BinaryIO, source: str, report: Callable[[str], None], *, fix: str = _GIVE_ANOTHER_FILE
) -> Workflow:
    """Read a workflow from an open file.

    Parameters
    ----------
    file : binary file
        Read to its end, if that comes in time.
    source : str
        What it is called in messages.
    report : callable
        As for :func:`load_workflow`.
    fix : str
        What to do if it is no text.

    Raises
    ------
    WorkflowError
        As :func:`load_workflow`.
    OSError
        If it cannot be read.
    """
    try:
        data = file.read(MAXIMUM_BYTES + 1)
        if len(data) > MAXIMUM_BYTES:
            fault = Fault("file_too_large", "this is too large to be a workflow", "Check the path.")
            raise WorkflowError([fault])
        return migrated(parse_workflow(data.decode("utf-8-sig")), report)
    except WorkflowError as error:
        raise error.in_file(source) from None
    except UnicodeDecodeError as error:
        fault = Fault("not_text", f"byte {error.start} is not UTF-8 text", fix)
        raise WorkflowError([fault], source) from None


def _warn(path: Path, note: str) -> None:
    warnings.warn(f"{path}: {note}", stacklevel=5)  # the caller of load_workflow


def parse_workflow(text: str) -> Workflow:
    """Read a workflow from JSON text.

    Raises
    ------
    WorkflowError
        If the text is not strict JSON (duplicate keys and NaN are refused) or not a workflow.
    """
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_int=_whole,
        )
    except json.JSONDecodeError as error:
        fault = Fault(
            "invalid_json",
            f"line {error.lineno}, column {error.colno}: {error.msg}",
            "Is the file complete? Fix it there, or export it again.",
        )
        raise WorkflowError([fault]) from None
    except RecursionError:
        raise WorkflowError([_too_deep()]) from None
    return workflow_from(document)


def workflow_from(document: Any) -> Workflow:
    """The workflow in a parsed JSON document, unwrapped from ``{"prompt": ...}`` if need be.

    A top-level ``"$schema"`` (for editors) is ignored.

    Raises
    ------
    WorkflowError
        If the document is not an object of nodes.
    """
    nodes = _unwrap(document)
    if not isinstance(nodes, Mapping):
        raise WorkflowError(
            [
                Fault(
                    "not_a_workflow",
                    "a workflow is a JSON object of nodes",
                    'Write {"id": {"class_type": ..., "inputs": {...}}, ...}.',
                    found=shorten(document, 40),
                )
            ]
        )
    if isinstance(nodes.get("nodes"), list) and isinstance(nodes.get("links"), list):
        raise WorkflowError(
            [
                Fault(
                    "ui_format",
                    "this is ComfyUI's editor format, not its API format",
                    'In ComfyUI choose "Export (API)" and run that file.',
                )
            ]
        )
    nodes = {node_id: spec for node_id, spec in nodes.items() if node_id != "$schema"}
    faults = [fault for node_id, spec in nodes.items() if (fault := _malformed(node_id, spec))]
    if faults:
        raise WorkflowError(faults)
    return Workflow.from_json(nodes)


def _unwrap(document: Any) -> Any:
    """Files in the wild wrap the nodes as {"prompt": ...} or {"input": {"workflow": ...}}."""
    if isinstance(document, Mapping):
        if isinstance(prompt := document.get("prompt"), Mapping) and "class_type" not in prompt:
            return prompt
        wrapped = document.get("input")
        if isinstance(wrapped, Mapping) and isinstance(inner := wrapped.get("workflow"), Mapping):
            return inner
    return document


def _malformed(node_id: str, spec: Any) -> Fault | None:
    if not isinstance(spec, Mapping):
        return Fault(
            "not_a_node",
            "a node is an object with class_type and inputs",
            'Write {"class_type": ..., "inputs": {...}}.',
            node_id,
            found=shorten(spec, 40),
        )
    if not isinstance(spec.get("inputs", {}), Mapping):
        return Fault(
            "not_a_node",
            "inputs is an object of names and values",
            'Write "inputs": {"name": value, ...}.',
            node_id,
            found=shorten(spec["inputs"], 40),
        )
    for name, value in spec.get("inputs", {}).items():
        if _is_deep(value):
            return _too_deep(node_id)
        if (problem := bad_json_value(value)) is not None:
            found = shorten(value, 60)
            return Fault("invalid_json", problem, "Write another value.", node_id, input=name, found=found)
    return None


def _is_deep(value: Any) -> bool:
    """Whether lists and objects are nested beyond the maximum depth."""
    level = [value]
    for _ in range(MAXIMUM_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (list, dict))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _too_deep(node_id: str | None = None) -> Fault:
    return Fault("invalid_json", "the JSON is nested too deeply", "Flatten it.", node_id)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        [(repeated, _)] = Counter(name for name, _ in pairs).most_common(1)
        fault = Fault(
            "duplicate_key",
            f"the key {repeated!r} occurs more than once in one object",
            "Rename or remove one of them.",
        )
        raise WorkflowError([fault])
    return result


def _is_device(path: Path) -> bool:
    """Whether reading might never end; standard input is taken, whatever it is."""
    status = path.stat()
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return False
    try:
        return not os.path.samestat(status, os.fstat(0))
    except OSError:
        return True


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python's limit on the number of digits
        raise _bad_number(f"{text[:10]}... has too many digits") from None


def _bad_number(message: str) -> WorkflowError:
    return WorkflowError([Fault("invalid_json", message, "Write a finite number.")])


def _unreadable(path: Path, error: OSError) -> Fault:
    if isinstance(error, FileNotFoundError):
        return Fault("file_not_found", "there is no such file", _similar_file(path))
    if isinstance(error, IsADirectoryError) or path.is_dir():
        return Fault("not_a_file", "this is a folder", "Give a workflow file inside it.")
    return Fault("unreadable", error.strerror or str(error), "Check the path and its permissions.")


def _similar_file(path: Path) -> str:
    try:
        siblings = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        siblings = []
    return suggestion(path.name, siblings, "Check the path.")
