"""What a saved picture says about itself; :mod:`runtime.formats.picture` reads it back.

Three words for it: a *generation* is how one value was made and travels with the value; *provenance* is what
a run says about itself (graph, versions, seconds); *metadata* is both of them in a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from run_graph.runtime.generation import Generation
from run_graph.runtime.values import Image

Settings = dict[str, Any]

WARNINGS = "warnings"
"""The key of what was not read as it was meant, such as the end of a long prompt."""

NOT_IN_SETTINGS = "not_in_settings"
"""The key of what a picture's settings cannot express, in words."""


def picture_metadata(
    image: Image,
    provenance: Mapping[str, Any],
    index: int = 0,
    not_in_settings: Sequence[str] = (),
) -> dict[str, Settings]:
    """The documents that go into every picture, before their paths are made fit to be shared
    (:func:`runtime.files.recorded_names.shareable`).

    Parameters
    ----------
    image : Image
        The picture, which knows how it was made.
    provenance : mapping
        What :meth:`graph.Context.provenance` says of the run.
    index : int
        Which picture of the batch: each records its own seed.
    not_in_settings : sequence of str
        What of the graph the settings cannot express; recorded, so that a run from them alone is refused.

    Returns
    -------
    dict
        ``prompt``: the graph as run, ComfyUI's API format. ``run_graph``: settings under mflux's names
        where mflux has one (seed, steps, guidance, redux_image_paths, ...), tokens per reference,
        versions, seconds of each finished stage, and the input folders.
    """
    settings: Settings = (
        {} if image.generation is None else generation_settings(image.generation.of_picture(index))
    )
    if not_in_settings:
        settings[NOT_IN_SETTINGS] = list(not_in_settings)
    if image.generation is not None and image.generation.warnings:
        settings[WARNINGS] = list(image.generation.warnings)
    settings["versions"] = provenance["versions"]
    settings["seconds"] = provenance["seconds"]
    settings["input_directories"] = provenance["input_directories"]
    return {"prompt": provenance["prompt"], "run_graph": settings}


def as_text(documents: Mapping[str, Settings]) -> dict[str, str]:
    """PNG text chunks: keyword to JSON."""
    return {keyword: json.dumps(document) for keyword, document in documents.items()}


def generation_settings(generation: Generation) -> Settings:
    """How a picture was made, under mflux's names where mflux has one."""
    references = generation.references
    return {
        "prompt": generation.prompt,
        **generation.parameters,
        "model": generation.model,
        "base_model": generation.base_model,
        "quantize": generation.quantize,
        "lora_paths": list(generation.lora_paths),
        "lora_scales": list(generation.lora_scales),
        "redux_model": _common([reference.redux_model for reference in references]),
        "redux_quantize": _common([reference.redux_quantize or "none" for reference in references]),
        "redux_mode": _common([_mode(reference.mode, reference.factor) for reference in references]),
        "interpolation_mode": _common([reference.interpolation for reference in references]),
        "redux_fit": _common([reference.fit for reference in references]),
        "redux_resample": _common([reference.resample for reference in references]),
        "redux_background": _common([reference.background for reference in references]),
        "redux_frames": _common([reference.frames for reference in references]),
        "redux_image_paths": [reference.path for reference in references],
        "redux_image_strengths": [reference.strength for reference in references],
        "redux_tokens": [reference.tokens for reference in references],
    }


def _mode(mode: str | None, factor: float | None) -> str | None:
    return mode if factor is None else f"factor {factor:g}"


def _common(values: Sequence[Any]) -> Any:
    """One value if all references share it (mflux's form), else one for each reference."""
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else values
