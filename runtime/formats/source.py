"""Where a workflow comes from: a JSON file, or a picture that carries one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from run_graph.graph.formats.api import load_workflow
from run_graph.graph.workflow import Workflow
from run_graph.runtime.images.formats import PICTURE_SUFFIXES


@dataclass(frozen=True)
class Source:
    """A workflow.

    Attributes
    ----------
    workflow : Workflow
    folders : sequence of Path
        Where relative input names are searched for, in order.
    notes : tuple of str
        What the user should know about how the file was read, one line each.
    picture : Path, optional
        The picture that the workflow came in; it may be a stranger's.
    """

    workflow: Workflow
    folders: Sequence[Path]
    notes: tuple[str, ...] = ()
    picture: Path | None = None


def read_source(path: Path) -> Source:
    """Read a workflow file or the workflow in a picture.

    Raises
    ------
    WorkflowError
        If there is no workflow in it; names the file and the fix.
    """
    notes: list[str] = []
    picture: Path | None = None
    if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
        from run_graph.runtime.formats.picture import read_embedded_workflow

        workflow, folders = read_embedded_workflow(path, notes.append)
        picture = path
    else:
        workflow, folders = load_workflow(path, notes.append), [path.parent]
    return Source(workflow, list(dict.fromkeys([*folders, Path.cwd()])), tuple(notes), picture)
