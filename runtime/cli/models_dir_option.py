"""``--models-dir``: where else models are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.runtime.models.library.settings import also_searching


def searching(folders: Sequence[Path]) -> AbstractContextManager[None]:
    """Inside the context, models are looked for in these folders first.

    Raises
    ------
    WorkflowError
        If one of them is not there.
    """
    missing = [folder for folder in folders if not folder.exists()]
    if missing:
        fix = "Name a folder like ComfyUI's models, or a file like its extra_model_paths.yaml."
        raise WorkflowError(
            [
                Fault("folder_not_found", f"--models-dir {folder}: there is no such folder", fix)
                for folder in missing
            ]
        )
    return also_searching(folders)
