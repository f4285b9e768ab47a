"""Reading workflow files: strict JSON, ComfyUI's API and editor formats, and clear messages for the rest."""

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
from run_graph.graph.formats.comfyui_versions import Changes, adapted
from run_graph.graph.formats.editor.conversion import convert
from run_graph.graph.formats.editor.reading import is_editor_file
from run_graph.graph.formats.editor.schema import RegistrySchemas
from run_graph.graph.formats.v01 import migrated
from run_graph.graph.json_values import bad_json_value
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.graph.workflow import Workflow

Report = Callable[[str], None]

# A workflow of 20,000 nodes is about 4 MB; a file larger than this is something else.
MAXIMUM_BYTES = 256 * 2**20
# Parameters are flat or nearly flat; unlimited depth would need care wherever values are walked.
MAXIMUM_DEPTH = 64

_GIVE_ANOTHER_FILE = "Give a JSON workflow file, or a picture made by run-graph."

# Beside the nodes or around them: what clients of ComfyUI send with a workflow, and what its editor saves.
_AROUND = ("prompt", "output", "workflow", "input")
_BESIDE = frozenset(
    {"$schema", "client_id", "extra_data", "extra_pnginfo", "front", "number", "prompt_id", "version"}
)
_MAXIMUM_WRAPPERS = 4


def load_workflow(
    path: str | Path, report: Report | None = None, registry: Registry | None = None
) -> Workflow:
    """Read a workflow file, in ComfyUI's API format or in its editor's.

    Parameters
    ----------
    path : str or Path
    report : callable, optional
        Gets a line if the file was written for version 0.1 (:mod:`graph.formats.v01`), and one if another
        version of ComfyUI wrote it (:mod:`graph.formats.comfyui_versions`). Default: a Python warning that
        names the file.
    registry : Registry, optional
        The classes by which the values of an editor file are read. Default: all installed ones.

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
            return read_workflow(file, str(path), report or partial(_warn, path), registry)
    except OSError as error:
        raise WorkflowError([_unreadable(path, error)], str(path)) from None


def read_workflow(
    file: BinaryIO,
    source: str,
    report: Report,
    registry: Registry | None = None,
    *,
    fix: str = _GIVE_ANOTHER_FILE,
) -> Workflow:
    """Read a workflow from an open file.

    Parameters
    ----------
    file : binary file
        Read to its end, if that comes in time.
    source : str
        What it is called in messages.
    report : callable
    registry : Registry, optional
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
        return migrated(parse_workflow(data.decode("utf-8-sig"), report, registry), report)
    except WorkflowError as error:
        raise error.in_file(source) from None
    except UnicodeDecodeError as error:
        fault = Fault("not_text", f"byte {error.start} is not UTF-8 text", fix)
        raise WorkflowError([fault], source) from None


def _warn(path: Path, note: str) -> None:
    warnings.warn(f"{path}: {note}", stacklevel=5)  # the caller of load_workflow


def parse_workflow(text: str, report: Report | None = None, registry: Registry | None = None) -> Workflow:
    """Read a workflow from JSON text; the parameters are those of :func:`load_workflow`.

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
    return workflow_from(document, report, registry)


def workflow_from(document: Any, report: Report | None = None, registry: Registry | None = None) -> Workflow:
    """The workflow in a parsed JSON document; the parameters are those of :func:`load_workflow`.

    It may be wrapped as clients of ComfyUI wrap it: ``{"prompt": ...}``, ``{"input": {"workflow": ...}}``,
    ``{"output": ..., "workflow": ...}``. A top-level ``"$schema"`` (for editors) is ignored.

    Raises
    ------
    WorkflowError
        If the document is not an object of nodes.
    """
    nodes = _unwrap(document)
    changes = Changes()
    if registry is None:
        registry = installed_nodes()
    if is_editor_file(nodes):
        converted = convert(nodes, RegistrySchemas(registry))
        nodes = converted.nodes
        changes.added += converted.filled
        changes.notes += converted.notes
    workflow = adapted(api_workflow(nodes), registry, changes)
    if line := changes.line():
        (report or _warn_of)(line)
    return workflow


def _warn_of(note: str) -> None:
    warnings.warn(note, stacklevel=4)


def api_workflow(nodes: Any) -> Workflow:
    """The workflow in an object of nodes in API format, taken as it is.

    Raises
    ------
    WorkflowError
        If it is not an object of nodes.
    """
    if not isinstance(nodes, Mapping):
        raise WorkflowError(
            [
                Fault(
                    "not_a_workflow",
                    "a workflow is a JSON object of nodes",
                    'Write {"id": {"class_type": ..., "inputs": {...}}, ...}.',
                    found=shorten(nodes, 40),
                )
            ]
        )
    nodes = {node_id: spec for node_id, spec in nodes.items() if node_id not in _BESIDE or _is_node(spec)}
    faults = [fault for node_id, spec in nodes.items() if (fault := _malformed(node_id, spec))]
    if faults:
        raise WorkflowError(faults)
    return Workflow.from_json(nodes)


def _unwrap(document: Any) -> Any:
    """What clients send around a workflow taken off; API format goes before the editor's."""
    for _ in range(_MAXIMUM_WRAPPERS):
        if not isinstance(document, Mapping) or is_editor_file(document):
            break
        found = next((document[key] for key in _AROUND if _is_wrapped(document, key)), None)
        if found is None:
            break
        document = found
    return document


def _is_wrapped(document: Mapping[str, Any], key: str) -> bool:
    inner = document.get(key)
    if not isinstance(inner, Mapping) or _is_node(inner):
        return False
    if key == "prompt":
        return True
    return is_editor_file(inner) or any(
        _is_node(each) or (name in _AROUND and isinstance(each, Mapping)) for name, each in inner.items()
    )


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_type" in value


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
