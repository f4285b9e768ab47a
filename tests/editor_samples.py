"""Editor files for tests: the schemas of ComfyUI's classes, and nodes written the way its editor does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from run_graph.graph.formats.editor.schema import NO_DEFAULT, EditorInput, editor_input

DATA = Path(__file__).parent / "graph" / "formats" / "editor" / "data"


class ObjectInfoSchemas:
    """Node classes as ComfyUI's ``object_info`` describes them."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        self._classes = {class_type: _inputs(each) for class_type, each in info.items()}

    def inputs(self, class_type: str) -> Mapping[str, EditorInput] | None:
        return self._classes.get(class_type)

    def added(self, class_type: str) -> Sequence[str]:
        return ()

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)


def _inputs(described: Mapping[str, Any]) -> dict[str, EditorInput]:
    groups = (described.get(kind, {}) for kind in ("required", "optional"))
    return {name: _input(name, *spec) for group in groups for name, spec in group.items()}


def _input(name: str, kind: str, hints: Mapping[str, Any] | None = None) -> EditorInput:
    hints = hints or {}
    return editor_input(name, kind, hints, hints.get("default", NO_DEFAULT), tuple(hints.get("options", ())))


SCHEMAS = ObjectInfoSchemas(json.loads((DATA / "schemas.json").read_text(encoding="utf-8")))
"""The classes of ComfyUI 0.33 that matter here; of their choices only the first is listed."""


def node(node_id: int, kind: str, inputs: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """A node; ``values=[...]`` are its widgets' values."""
    written = {"id": node_id, "type": kind, "inputs": list(inputs), "outputs": [], "mode": 0}
    if "values" in more:
        written["widgets_values"] = more.pop("values")
    return {**written, **more}


def slot(name: str, kind: str, link: int | None = None, widget: str | None = None) -> dict[str, Any]:
    """An input of a node."""
    written: dict[str, Any] = {"name": name, "type": kind, "link": link}
    return written if widget is None else {**written, "widget": {"name": widget}}


def file(nodes: Sequence[Any], links: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """A whole file; a link is ``[id, origin, slot, target, slot, type]``."""
    return {"last_node_id": 100, "nodes": list(nodes), "links": list(links), "version": 0.4, **more}


def subgraph(
    key: str,
    nodes: Sequence[Any],
    links: Sequence[Sequence[Any]],
    inputs: Sequence[tuple[str, str, list[int]]] = (),
    outputs: Sequence[tuple[str, str, list[int]]] = (),
) -> dict[str, Any]:
    """A definition; -10 and -20 stand for its inputs and outputs in links, as in a file."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": key,
        "name": f"subgraph {key}",
        "nodes": list(nodes),
        "links": [dict(zip(keys, link, strict=True)) for link in links],
        "inputs": [{"name": name, "type": kind, "linkIds": ids} for name, kind, ids in inputs],
        "outputs": [{"name": name, "type": kind, "linkIds": ids} for name, kind, ids in outputs],
    }


def with_subgraphs(written: Mapping[str, Any], *definitions: Any) -> dict[str, Any]:
    """A file with definitions of subgraphs."""
    return {**written, "definitions": {"subgraphs": list(definitions)}}
