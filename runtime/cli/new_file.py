"""Files that options of ``run-graph`` write beside the results: never over another file."""

from __future__ import annotations

import os
from pathlib import Path

from run_graph.runtime.files.atomic import SaveError, write_atomically


def write_new_file(option: str, target: Path, text: str) -> None:
    """Write a text file for an option.

    Raises
    ------
    SaveError
        If there is a file of this name already, the workflow itself or another, or it cannot be written.
    """
    if os.path.lexists(target):
        raise SaveError(f"{option} {target} would overwrite a file; name another, or delete it first")
    write_atomically(target, text.encode(), overwrite=False)
