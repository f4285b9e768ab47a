"""``--models-dir``: where else models are looked for."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from run_graph.runtime.cli.parser import path_argument


def add_models_dir_argument(parser: ArgumentParser) -> None:
    """Add ``--models-dir``, a list of paths."""
    parser.add_argument(
        "--models-dir",
        dest="models_dirs",
        action="append",
        default=[],
        type=path_argument,
        metavar="DIR",
        help="look for models and LoRAs in this folder, which is like ComfyUI's models, or in those that its "
        "extra_model_paths.yaml names; may be repeated (default: RUN_GRAPH_MODELS and run-graph.toml)",
    )


def searching(folders: Sequence[Path]) -> AbstractContextManager[None]:
    """Inside the context, models are looked for in these folders first.

    Raises
    ------
    WorkflowError
        If one of them is not there.
    """
    from run_graph.graph.faults import Fault, WorkflowError
    from run_graph.runtime.models.library.settings import also_searching

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
