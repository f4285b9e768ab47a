"""Where a workflow comes from: a JSON file, standard input, or a picture that carries one."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.api import load_workflow, read_workflow
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.images.formats import PICTURE_SUFFIXES

STANDARD_INPUT = "standard input"
"""What standard input is called where the name of a file would be."""


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


def read_source(path: Path, registry: Registry | None = None) -> Source:
    """Read a workflow file or the workflow in a picture.

    Parameters
    ----------
    path : Path
    registry : Registry, optional
        As for :func:`graph.formats.api.load_workflow`.

    Raises
    ------
    WorkflowError
        If there is no workflow in it; names the file and the fix.
    """
    notes: list[str] = []
    picture: Path | None = None
    if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
        from run_graph.runtime.formats.picture import read_embedded_workflow

        workflow, folders = read_embedded_workflow(path, notes.append, registry)
        picture = path
    else:
        workflow, folders = load_workflow(path, notes.append, registry), [path.parent]
    return Source(workflow, list(dict.fromkeys([*folders, Path.cwd()])), tuple(notes), picture)


def read_standard_input(registry: Registry | None = None) -> Source:
    """Read a workflow, in JSON, from standard input. Its inputs are searched for in the working directory.

    ``registry`` is as for :func:`read_source`.

    Raises
    ------
    WorkflowError
        As :func:`read_source`.
    """
    notes: list[str] = []
    fix = "Give a workflow in JSON; a picture is given by its path."
    try:
        workflow = read_workflow(standard_input(), STANDARD_INPUT, notes.append, registry, fix=fix)
    except OSError as error:
        message = f"standard input cannot be read: {error.strerror or error}"
        raise WorkflowError([Fault("unreadable", message, "Give a workflow file.")]) from None
    return Source(workflow, [Path.cwd()], tuple(notes))


def standard_input() -> BinaryIO:
    """Standard input, as bytes. Raises OSError if it is closed."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed")
    return sys.stdin.buffer
