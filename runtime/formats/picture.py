"""The workflow that a picture carries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.api import parse_workflow
from run_graph.graph.formats.v01 import migrated
from run_graph.graph.workflow import Workflow
from run_graph.runtime.files.recorded_names import recorded_folder


def read_embedded_workflow(path: Path, report: Callable[[str], None]) -> tuple[Workflow, list[Path]]:
    """The workflow in a picture's metadata, and where its inputs were searched for.

    If the picture carries only mflux's settings, the workflow that these settings mean.

    Parameters
    ----------
    path : Path
    report : callable
        Gets a line if the workflow was written for version 0.1 (:mod:`graph.formats.v01`).

    Returns
    -------
    workflow, folders
        ``folders``: the picture's own, then those of the run that made it, found relative to the picture.

    Raises
    ------
    WorkflowError
        If the picture carries no workflow.
    """
    from run_graph.runtime.images.codec import ImageError
    from run_graph.runtime.images.exif import read_mflux_comment
    from run_graph.runtime.images.png_text import PngTextError, read_text

    try:
        text, comment = read_text(path), read_mflux_comment(path)
        # Other programs call a prompt in plain words "prompt" too.
        if "prompt" in text and (comment is None or _is_json_object(text["prompt"])):
            workflow = migrated(parse_workflow(text["prompt"]), report)
            return workflow, [path.parent, *_recorded_folders(text.get("run_graph", ""), path.parent)]
        if comment is not None:
            from run_graph.runtime.formats.mflux.embedded import workflow_of_settings

            return workflow_of_settings(comment, path)
        if "workflow" in text:  # ComfyUI's editor format alone: says what it says of such a file
            return parse_workflow(text["workflow"]), [path.parent]
    except (ImageError, PngTextError, OSError) as error:
        raise WorkflowError([Fault("unreadable", str(error), "Give a picture made by run-graph.")]) from None
    except WorkflowError as error:
        raise error.in_file(str(path)) from None
    fix = "Give a picture that run-graph, mflux or ComfyUI saved with its metadata."
    raise WorkflowError([Fault("no_workflow", "the picture carries no workflow", fix)], str(path))


def _is_json_object(text: str) -> bool:
    return text.lstrip().startswith("{")


def _recorded_folders(settings: str, start: Path) -> list[Path]:
    try:
        folders = json.loads(settings)["input_directories"]
        return [recorded_folder(folder, start) for folder in folders if isinstance(folder, str)]
    except (ValueError, KeyError, TypeError):
        return []  # a picture that ComfyUI made
