"""What a node shows in the editor, ComfyUI's ``ui``: the files that it has written, or a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from run_graph.graph.node import Node
from run_graph.runtime.server.folders import Folders

_LISTED_AS = {"SaveLatent": "latents"}
_ANIMATED = {"SaveAnimatedWEBP"}
_TEXTS = {"PreviewAny": "string"}


def shown(node_class: type[Node], result: Mapping[str, Any], folders: Folders) -> dict[str, Any] | None:
    """The data of ``executed``; None if the node shows nothing.

    Parameters
    ----------
    node_class : type
    result : mapping
        The plain outputs of the node (:class:`runtime.events.NodeFinished`).
    folders : Folders
    """
    name = node_class.class_type
    if not node_class.is_output:
        return None
    if isinstance(paths := result.get("paths"), list):
        listed: dict[str, Any] = {_LISTED_AS.get(name, "images"): [folders.reference(path) for path in paths]}
        return {**listed, "animated": [True]} if name in _ANIMATED else listed
    if name in _TEXTS:
        return {"text": [str(result.get(_TEXTS[name], ""))]}
    if isinstance(path := result.get("path"), str):
        return {_LISTED_AS.get(name, "images"): [folders.reference(path)]}
    return {}


def files_of(shown: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The files that a node shows, each with the kind that it is listed under."""
    return [
        (kind, each)
        for kind, listed in shown.items()
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and "filename" in each
    ]


def preview_of(outputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The file that stands for a whole run in a list: saved ones go before previews."""
    found = [(node_id, kind, each) for node_id, shown in outputs.items() for kind, each in files_of(shown)]
    if not found:
        return None
    node_id, kind, file = min(found, key=lambda each: each[2].get("type") != "output")
    return {**file, "nodeId": node_id, "mediaType": kind}
