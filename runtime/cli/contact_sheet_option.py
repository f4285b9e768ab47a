"""What ``run-graph`` does for ``--contact-sheet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from run_graph.graph.faults import WorkflowError
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow
from run_graph.runtime.cli.files import FileJob
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.files.atomic import write_atomically
from run_graph.runtime.files.outputs import refuse_overwriting, require_writable

if TYPE_CHECKING:
    from run_graph.runtime.contact_sheet.sheet import ContactSheet


def make_contact_sheet(path: Path, job: FileJob, targets: Sequence[str], registry: Registry) -> ContactSheet:
    """A listener that collects the pictures of the targets, as typed, for the sheet at ``path``.

    Raises
    ------
    SaveError
        If the sheet would overwrite the workflow file, or cannot be written there.
    WorkflowError
        If there is no picture to show; names the file.
    """
    refuse_overwriting(job.file, path, "--contact-sheet")
    require_writable(path.parent, "--contact-sheet")
    from run_graph.runtime.contact_sheet.sheet import ContactSheet

    try:
        return ContactSheet(job.sweep, registry, targets)
    except WorkflowError as error:
        raise error.in_file(job.file) from None


def save_contact_sheet(
    path: Path, sheet: ContactSheet, as_run: Workflow, environment: RunEnvironment
) -> None:
    """Write the sheet, which replaces an older one. Raises SaveError."""
    write_atomically(path, sheet.encoded(as_run, environment, path.parent), overwrite=True)
