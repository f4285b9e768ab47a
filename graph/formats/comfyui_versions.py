"""Workflows that other versions of ComfyUI wrote, and what only its editor writes, brought up to date.

ComfyUI's own nodes (:attr:`graph.node.Node.stock`) gain and lose inputs. ComfyUI ignores inputs that a node
does not have, and its editor fills in those that a file lacks. Both are done here, and one line says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from run_graph.graph.declaration import inputs_of
from run_graph.graph.faults import listed, nearest, shorten
from run_graph.graph.formats.editor.schema import NO_DEFAULT, EditorInput, editor_inputs_of
from run_graph.graph.formats.renamed_classes import RENAMED
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.validation import EDITOR_ONLY
from run_graph.graph.workflow import NodeSpec, Workflow

# The folder that a picture's name may end with; the name itself is searched for where all inputs are.
_FOLDER = re.compile(r" \[(input|output|temp)\]$")


@dataclass
class Changes:
    """What was changed in a file while it was read, for one line to the user."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def line(self) -> str | None:
        """All of it in one line; None if nothing was changed."""
        parts = [
            f"{verb} {listed(each)}"
            for verb, each in (
                ("filled in", self.added),
                ("left out", self.removed),
                ("renamed", self.renamed),
            )
            if each
        ]
        intro = "written for another version of ComfyUI: " if parts else ""
        return intro + "; ".join([*parts, *self.notes]) or None


def adapted(workflow: Workflow, registry: Registry, changes: Changes) -> Workflow:
    """The workflow as this version of ComfyUI's nodes has it; the same object if nothing had to be changed.

    Parameters
    ----------
    workflow : Workflow
    registry : Registry
    changes : Changes
        What was changed is added to it.
    """
    nodes = {
        node_id: _adapted(node_id, _renamed(node_id, spec, registry, changes), registry, changes)
        for node_id, spec in workflow.nodes.items()
    }
    same = all(nodes[node_id] is spec for node_id, spec in workflow.nodes.items())
    return workflow if same else Workflow(nodes)


def _renamed(node_id: str, spec: NodeSpec, registry: Registry, changes: Changes) -> NodeSpec:
    new = RENAMED.get(spec.class_type)
    if new is None or spec.class_type in registry:
        return spec
    changes.renamed.append(f"{node_id}: {spec.class_type!r} is now {new.name}")
    inputs = {new.inputs.get(name, name): value for name, value in spec.inputs.items()}
    return replace(spec, class_type=new.name, inputs={**new.added, **inputs})


def _adapted(node_id: str, spec: NodeSpec, registry: Registry, changes: Changes) -> NodeSpec:
    if spec.class_type not in registry:
        return spec
    node_class = registry[spec.class_type]
    known = inputs_of(node_class)
    unknown = [name for name in spec.inputs if name not in known]
    missing = _missing(node_class, spec) if node_class.stock else {}
    gone = [name for name in unknown if name in EDITOR_ONLY or _may_go(name, node_class, missing)]
    if len(gone) < len(unknown):
        missing = {}  # one of them may be meant: validation says so
    renamed = _without_folders(node_id, spec, editor_inputs_of(node_class), changes)
    if not (gone or missing or renamed):
        return spec
    changes.removed += [f"{node_id}.{name}" for name in gone]
    changes.added += [f"{node_id}.{name} = {shorten(value, 40)}" for name, value in missing.items()]
    kept = {name: value for name, value in spec.inputs.items() if name not in gone}
    return replace(spec, inputs={**kept, **missing, **renamed})


def _missing(node_class: type[Node], spec: NodeSpec) -> dict[str, Any]:
    """The inputs that the editor would fill in."""
    return {
        name: each.default
        for name, each in editor_inputs_of(node_class).items()
        if each.is_widget and name not in spec.inputs and each.default is not NO_DEFAULT
    }


def _may_go(name: str, node_class: type[Node], missing: Iterable[str]) -> bool:
    """Whether an input that a class does not have can be left out: it is not a missing one, misspelt."""
    return node_class.stock and nearest(name, list(missing)) is None


def _without_folders(
    node_id: str, spec: NodeSpec, inputs: Mapping[str, EditorInput], changes: Changes
) -> dict[str, str]:
    """Names of pictures without the folder at their end, as in ``fox.png [input]``."""
    found: dict[str, str] = {}
    for name, value in spec.inputs.items():
        if not (name in inputs and inputs[name].has_button and isinstance(value, str)):
            continue
        if (match := _FOLDER.search(value)) is not None:
            found[name] = value[: match.start()]
            if match[1] != "input":
                note = f"{node_id}.{name}: {found[name]!r} is searched for among the inputs"
                changes.notes.append(f"{note}, not in ComfyUI's folder {match[1]!r}")
    return found
