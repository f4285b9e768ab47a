"""Where a workflow comes from: a JSON file, or a picture that carries one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from run_graph.graph.formats.api import load_workflow
from run_graph.graph.workflow import Workflow

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Source:
    """A workflow and the folders in which relative input names are sought, in order."""

    workflow: Workflow
    folders: Sequence[Path]


def read_source(path: Path) -> Source:
    """Read a workflow file or the workflow in a picture.

    Raises
    ------
    WorkflowError
        If there is none; names the file and the fix.
    """
    if path.suffix.lower() in _PICTURE_SUFFIXES and path.is_file():
        from run_graph.runtime.formats.picture import read_embedded_workflow

        workflow, folders = read_embedded_workflow(path)
    else:
        workflow, folders = load_workflow(path), [path.parent]
    return Source(workflow, list(dict.fromkeys([*folders, Path.cwd()])))
