"""The workflow that a picture carries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.api import parse_workflow
from run_graph.graph.formats.v01 import migrated
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow


def read_embedded_workflow(
    path: Path, report: Callable[[str], None], registry: Registry | None = None
) -> tuple[Workflow, list[Path]]:
    """The workflow in a picture's metadata, and where its inputs were searched for.

    If the picture carries only mflux's settings, the workflow that these settings mean.

    Parameters
    ----------
    path : Path
    report : callable
        As for :func:`graph.formats.api.load_workflow`.
    registry : Registry, optional
        As for :func:`graph.formats.api.load_workflow`.

    Returns
    -------
    workflow, folders
        ``folders``: the picture's own, then those of the run that made it, found relative to the picture.

    Raises
    ------
    WorkflowError
        If the picture carries no workflow.
    """
    from run_graph.runtime.formats.mflux.recorded import folders_of
    from run_graph.runtime.images.exif import read_comfyui_documents, read_mflux_comment
    from run_graph.runtime.images.png_text import PngTextError, read_text
    from run_graph.runtime.images.reading import ImageError

    try:
        text, comment = read_comfyui_documents(path) | read_text(path), read_mflux_comment(path)
        # Other programs call a prompt in plain words "prompt" too.
        nothing_else = comment is None and "workflow" not in text
        if "prompt" in text and (nothing_else or _is_json_object(text["prompt"])):
            workflow = migrated(parse_workflow(text["prompt"], report, registry), report)
            return workflow, [path.parent, *folders_of(_settings(text, comment), path.parent)]
        if comment is not None:
            from run_graph.runtime.formats.mflux.embedded import workflow_of_settings

            return workflow_of_settings(comment, path)
        if "workflow" in text:  # ComfyUI's editor format alone
            return parse_workflow(text["workflow"], report, registry), [path.parent]
    except (ImageError, PngTextError, OSError) as error:
        raise WorkflowError([Fault("unreadable", str(error), "Give a picture made by run-graph.")]) from None
    except WorkflowError as error:
        raise error.in_file(str(path)) from None
    fix = "Give a picture that run-graph, mflux or ComfyUI saved with its metadata."
    raise WorkflowError([Fault("no_workflow", "the picture carries no workflow", fix)], str(path))


def _is_json_object(text: str) -> bool:
    return text.lstrip().startswith("{")


def _settings(text: Mapping[str, str], comment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The settings beside the graph: in a text chunk of a PNG, else in the EXIF comment."""
    try:
        settings = json.loads(text["run_graph"])
    except (ValueError, KeyError):
        settings = comment
    return settings if isinstance(settings, dict) else {}  # {}: a picture that ComfyUI made
