"""What ``run-graph`` does for ``--convert``."""

from __future__ import annotations

import os
from pathlib import Path

from run_graph.runtime.cli.files import FileJob
from run_graph.runtime.files.atomic import SaveError, write_atomically


def write_api_file(job: FileJob, target: Path) -> None:
    """Write the workflow of a file, with its settings, in API format.

    Raises
    ------
    SaveError
        If there is a file of this name already, the workflow itself or another, or it cannot be written.
    """
    if os.path.lexists(target):
        raise SaveError(f"--convert {target} would overwrite a file; name another, or delete it first")
    write_atomically(target, job.sweep.workflow.dumps().encode(), overwrite=False)
