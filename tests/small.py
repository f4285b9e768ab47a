"""Whole pictures in a fraction of a second: a model smaller than ``tiny``, 32 pixels, two steps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run_graph.graph import Workflow, load_workflow
from training.layout.spec import TinySpec

WORKFLOWS = Path(__file__).parent.parent / "workflows"
SHIPPED = sorted(path.stem for path in WORKFLOWS.glob("*.json"))

SMALL = TinySpec(
    heads=2,
    joint_blocks=1,
    single_blocks=1,
    clip_layers=1,
    t5_tokens=16,
    vae_channels=(8, 16, 24, 24),
    siglip_layers=1,
)


def shipped(name: str) -> Workflow:
    """One of the example workflows."""
    return load_workflow(WORKFLOWS / f"{name}.json")


def with_each(workflow: Workflow, class_type: str, **inputs: Any) -> Workflow:
    """The workflow with inputs set on all nodes of a class."""
    for node_id, spec in workflow.nodes.items():
        if spec.class_type == class_type:
            for name, value in inputs.items():
                workflow = workflow.with_input(node_id, name, value)
    return workflow


def shrunk(workflow: Workflow, model: str) -> Workflow:
    """The same graph on a small model, with small pictures and few steps."""
    workflow = with_each(workflow, "LoadFlux", model=model)
    workflow = with_each(workflow, "LoadRedux", model=model)
    return with_each(workflow, "FluxSample", width=32, height=32, steps=2)


def make_project(folder: Path, model: str) -> Path:
    """A folder with the example pictures and ``redux.json`` on a small model; returns that file."""
    shutil.copytree(WORKFLOWS / "images", folder / "images", ignore=lambda _, names: not_pictures(names))
    path = folder / "redux.json"
    path.write_text(shrunk(shipped("redux"), model).dumps(), encoding="utf-8")
    return path


def not_pictures(names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".png")]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Rewrite a workflow file with a change made to its JSON."""
    nodes = json.loads(path.read_text(encoding="utf-8"))
    change(nodes)
    path.write_text(json.dumps(nodes), encoding="utf-8")
    return path
