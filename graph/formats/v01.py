"""Workflows written for run-graph 0.1, brought up to date.

Version 0.2 made SaveImage and LoadImage ComfyUI's nodes of these names. In 0.1, SaveImage had the input
`image`, only the output `path`, and the default prefix "run-graph"; LoadImage laid transparency over white
and read the first frame only.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any

from run_graph.graph.links import Link
from run_graph.graph.workflow import NodeSpec, Workflow

NOTE = (
    "written for version 0.1: SaveImage's input `image` is now `images`, its output `path` has slot 1, and "
    "LoadImage got background = white, frames = first"
)

# What 0.1 did where a file says nothing.
_DEFAULTS = {
    "LoadImage": {"background": "white", "frames": "first"},
    "SaveImage": {"filename_prefix": "run-graph"},
}


def migrated(workflow: Workflow, report: Callable[[str], None]) -> Workflow:
    """The workflow as this version writes it; the same object if it was not written for 0.1.

    Parameters
    ----------
    workflow : Workflow
        It was written for 0.1 if a SaveImage has an input `image` and no `images`.
    report : callable
        Gets one line about what was changed, if anything was.
    """
    savers = {node_id for node_id, spec in workflow.nodes.items() if _is_old_saver(spec)}
    if not savers:
        return workflow
    report(NOTE)
    return Workflow({node_id: _node(spec, savers) for node_id, spec in workflow.nodes.items()})


def _is_old_saver(spec: NodeSpec) -> bool:
    return spec.class_type == "SaveImage" and "image" in spec.inputs and "images" not in spec.inputs


def _node(spec: NodeSpec, savers: Set[str]) -> NodeSpec:
    inputs = {name: _value(value, savers) for name, value in spec.inputs.items()}
    if _is_old_saver(spec):
        inputs = {"images" if name == "image" else name: value for name, value in inputs.items()}
    defaults = _DEFAULTS.get(spec.class_type, {})
    added = {name: value for name, value in defaults.items() if name not in inputs}
    return replace(spec, inputs={**inputs, **added})


def _value(value: Any, savers: Set[str]) -> Any:
    if isinstance(value, Link) and value.node_id in savers and value.slot == 0:
        return Link(value.node_id, "path")
    return value
