"""What a saved picture tells of itself, and reading it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graph.faults import Fault, WorkflowError
from graph.reading import parse_workflow
from graph.workflow import Workflow
from runtime.generation import Generation
from runtime.values import Image

Settings = dict[str, Any]


def picture_metadata(image: Image, provenance: Mapping[str, Any]) -> dict[str, Settings]:
    """The two documents that go into a PNG.

    Returns
    -------
    dict
        ``prompt``: the graph as run, ComfyUI's API format. ``run_graph``: settings under mflux's names
        where mflux has one (seed, steps, guidance, redux_image_paths, ...), tokens per reference,
        versions, and seconds of each finished stage.
    """
    settings: Settings = {} if image.generation is None else _generation(image.generation)
    for key in ("versions", "seconds", "input_directories"):
        settings[key] = provenance[key]
    return {"prompt": provenance["prompt"], "run_graph": settings}


def as_text(documents: Mapping[str, Settings]) -> dict[str, str]:
    """PNG text chunks: keyword to JSON."""
    return {keyword: json.dumps(document) for keyword, document in documents.items()}


def _generation(generation: Generation) -> Settings:
    references = generation.references
    return {
        "prompt": generation.prompt,
        "seed": generation.seed,
        "steps": generation.steps,
        "guidance": generation.guidance,
        "width": generation.width,
        "height": generation.height,
        "model": generation.model,
        "quantize": generation.quantize,
        "redux_mode": _common([_mode(reference.mode, reference.factor) for reference in references]),
        "interpolation_mode": _common([reference.interpolation for reference in references]),
        "redux_image_paths": [reference.path for reference in references],
        "redux_image_strengths": [reference.strength for reference in references],
        "redux_tokens": [reference.tokens for reference in references],
    }


def _mode(mode: str | None, factor: float | None) -> str | None:
    return mode if factor is None else f"factor {factor:g}"


def _common(values: list[str | None]) -> Any:
    """One value if all references share it (mflux's form), else one for each reference."""
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else values


def read_embedded_workflow(path: Path) -> tuple[Workflow, list[Path]]:
    """The workflow in a picture's metadata, and where its inputs were sought.

    Returns
    -------
    workflow, folders
        ``folders``: the picture's own, then those that the run used, found relative to it.

    Raises
    ------
    WorkflowError
        If the picture carries no workflow.
    """
    from runtime.images import ImageError, read_mflux_comment
    from runtime.png_text import PngTextError, read_text

    try:
        text = read_text(path)
        if "prompt" in text:
            workflow = parse_workflow(text["prompt"])
            return workflow, [path.parent, *_recorded_folders(text.get("run_graph", ""), path.parent)]
        comment = read_mflux_comment(path)
    except (ImageError, PngTextError, OSError) as error:
        raise WorkflowError([Fault("unreadable", str(error), "Give a picture made by run-graph.")]) from None
    except WorkflowError as error:
        raise error.in_file(str(path)) from None
    raise WorkflowError([_no_workflow(comment)], str(path))


def _recorded_folders(settings: str, start: Path) -> list[Path]:
    try:
        folders = json.loads(settings)["input_directories"]
        return [start / folder for folder in folders if isinstance(folder, str)]
    except (ValueError, KeyError, TypeError):
        return []  # a picture that ComfyUI made


def _no_workflow(comment: Settings | None) -> Fault:
    mend = "Give a picture that run-graph or ComfyUI saved with its metadata."
    if comment is None:
        return Fault("no_workflow", "the picture carries no workflow", mend)
    seed = comment.get("seed")
    return Fault(
        "no_workflow",
        f"the picture carries mflux's settings (prompt {comment.get('prompt')!r}, seed {seed}) but no workflow",
        mend,
    )
