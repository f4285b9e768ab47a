"""The shipped workflows as the editor's templates, and the form that its App mode shows of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from run_graph.graph.draw import draw_svg
from run_graph.graph.formats.api import load_workflow
from run_graph.graph.formats.editor.export import exported
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import Workflow

FIRST = "redux"
"""What a new user's editor opens with."""

_DESCRIPTION = "Runs on the built-in model; choose dev or schnell as model for FLUX.1."
# What App mode asks for, in this order, where a workflow has such nodes.
_ASKED = (
    ("LoadImage", "image"),
    ("TextEncode", "prompt"),
    ("PatchDownsample", "mode"),
    ("FluxSample", "seed"),
)


class Templates:
    """The workflows of a folder.

    Parameters
    ----------
    folder : Path
    registry : Registry
    """

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder, self._registry = folder, registry

    def index(self) -> list[dict[str, Any]]:
        """The editor's gallery: one group, with a drawing of each graph as its picture."""
        templates = [
            {
                "name": name,
                "title": name.replace("_", " ").capitalize(),
                "description": _DESCRIPTION,
                "mediaType": "image",
                "mediaSubtype": "svg",
            }
            for name in self._names()
        ]
        return [{"moduleName": "default", "title": "run-graph", "type": "image", "templates": templates}]

    def document(self, name: str) -> dict[str, Any] | None:
        """A workflow as an editor's file; None if there is none of this name."""
        if (workflow := self._workflow(name)) is None:
            return None
        document = exported(workflow, self._registry).document
        document["extra"] = {"linearData": _form(document["nodes"], self._registry)}
        return document

    def drawing(self, name: str) -> str | None:
        """A workflow's graph as SVG; None if there is none of this name."""
        workflow = self._workflow(name)
        return None if workflow is None else draw_svg(workflow, self._registry)

    def _names(self) -> list[str]:
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        return sorted(names, key=lambda name: name != FIRST)

    def _workflow(self, name: str) -> Workflow | None:
        return load_workflow(self._folder / f"{name}.json") if name in self._names() else None


def _form(nodes: list[dict[str, Any]], registry: Registry) -> dict[str, Any]:
    """App mode's form: the inputs that it asks for and the nodes whose pictures it shows."""
    outputs = [node["id"] for node in nodes if registry[node["type"]].is_output]
    return {"inputs": list(_asked(nodes)), "outputs": outputs}


def _asked(nodes: list[dict[str, Any]]) -> Iterator[list[Any]]:
    for class_type, name in _ASKED:
        for node in nodes:
            if node["type"] == class_type and not _is_linked(node, name):
                yield [node["id"], name]


def _is_linked(node: dict[str, Any], name: str) -> bool:
    return any(slot["name"] == name and slot.get("link") is not None for slot in node.get("inputs", ()))
