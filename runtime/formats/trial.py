"""A workflow made quick to try: on the built-in model, with small pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from run_graph.graph.declaration import inputs_of, output_table, outputs_of
from run_graph.graph.faults import listed
from run_graph.graph.links import Link
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.workflow import NodeSpec, Workflow
from run_graph.runtime.models.node_roles import is_adapter, is_loader, model_inputs

CELL = 16  # pixels: the sides of a picture are multiples of it
_SIDES = ("width", "height")
_MEGAPIXEL = 2**20  # ComfyUI's
_TO_PIXELS, _TO_A_MEGAPIXEL = "ImageScaleToTotalPixels", "FluxKontextImageScale"


@dataclass(frozen=True)
class Trial:
    """What to change.

    Attributes
    ----------
    model : str, optional
        The model that takes every model's place.
    max_pixels : int, optional
        The most pixels that a latent picture may have where its size is given.
    """

    model: str | None = None
    max_pixels: int | None = None


def tried(workflow: Workflow, registry: Registry, trial: Trial) -> tuple[Workflow, list[str]]:
    """The workflow with the changes, and one line for each kind of change.

    Every loader's model is replaced, and LoRAs, which were made for another model, are left out. Sizes
    keep their proportion, in multiples of 16 pixels. A size that is linked is not changed, and told. Nodes
    that scale pictures to a number of pixels scale them to fewer.
    """
    notes: list[str] = []
    if trial.model is not None:
        workflow = _on_model(workflow, registry, trial.model, notes)
    if trial.max_pixels is not None:
        workflow = _smaller(workflow, registry, trial.max_pixels, notes)
    return workflow, notes


def _on_model(workflow: Workflow, registry: Registry, model: str, notes: list[str]) -> Workflow:
    replaced: list[str] = []
    nodes = dict(workflow.nodes)
    for node_id, spec in workflow.nodes.items():
        node_class = registry.get(spec.class_type)
        if node_class is not None and is_loader(node_class):
            changed = {name: model for name in model_inputs(node_class) if spec.inputs.get(name) != model}
            replaced += [f"{node_id}.{name}" for name in changed]
            nodes[node_id] = replace(spec, inputs={**spec.inputs, **changed})
    adapters = [node_id for node_id, spec in nodes.items() if _adapts(spec, registry)]
    if replaced:
        notes.append(f"--model {model}: replaced {listed(replaced)}")
    if adapters:
        nodes = _bypassed(nodes, registry)
        notes.append(f"--model {model}: left out LoRAs, which are for another model: {listed(adapters)}")
    return Workflow(nodes)


def _adapts(spec: NodeSpec | None, registry: Registry) -> bool:
    return spec is not None and spec.class_type in registry and is_adapter(registry[spec.class_type])


def _bypassed(nodes: Mapping[str, NodeSpec], registry: Registry) -> dict[str, NodeSpec]:
    """The nodes with links to adapters led to what the adapters are linked to."""
    result = {}
    for node_id, spec in nodes.items():
        links = {name: _past_adapters(link, nodes, registry) for name, link in spec.links()}
        result[node_id] = replace(spec, inputs={**spec.inputs, **links})
    return {node_id: spec for node_id, spec in result.items() if not _adapts(spec, registry)}


def _past_adapters(link: Link, nodes: Mapping[str, NodeSpec], registry: Registry) -> Link:
    passed = set()
    while link not in passed:  # a workflow that has not been validated may have a cycle
        passed.add(link)
        spec = nodes.get(link.node_id)
        if spec is None or not _adapts(spec, registry):
            break
        node_class = registry[spec.class_type]
        output = output_table(node_class).get(link.slot)
        sources = [
            spec.inputs.get(each.name)
            for each in inputs_of(node_class).values()
            if output is not None and each.socket == output.socket
        ]
        link = next((source for source in sources if isinstance(source, Link)), link)
    return link


def _smaller(workflow: Workflow, registry: Registry, most: int, notes: list[str]) -> Workflow:
    changes: list[str] = []
    linked: list[str] = []
    nodes = dict(workflow.nodes)
    for node_id, spec in workflow.nodes.items():
        node_class = registry.get(spec.class_type)
        if (scaled := _scaled_to(spec, registry, most)) is not None:
            nodes[node_id] = scaled
            changes.append(f"{node_id} scales to {scaled.inputs['megapixels']:.3g} megapixels")
        if node_class is None or not _gives_size(node_class):
            continue
        width, height = sides = [_given(spec, node_class, name) for name in _SIDES]
        if any(isinstance(side, Link) for side in sides):
            linked.append(node_id)
        if not (_is_number(width) and _is_number(height) and width * height > most):
            continue
        smaller = dict(zip(_SIDES, _fitting(width, height, most), strict=True))
        nodes[node_id] = replace(spec, inputs={**spec.inputs, **smaller})
        changes.append(f"{node_id} {width} x {height} is now {smaller['width']} x {smaller['height']}")
    if changes:
        notes.append(f"--max-pixels {most}: {listed(changes)}")
    if linked:
        notes.append(f"--max-pixels {most}: not changed, because the size is linked: {listed(linked)}")
    return Workflow(nodes)


def _scaled_to(spec: NodeSpec, registry: Registry, most: int) -> NodeSpec | None:
    """A node that scales pictures to a number of pixels, with fewer; None for others, and if they are few."""
    if spec.class_type not in (_TO_PIXELS, _TO_A_MEGAPIXEL) or _TO_PIXELS not in registry:
        return None
    megapixels = inputs_of(registry[_TO_PIXELS])["megapixels"]
    least = max(most / _MEGAPIXEL, megapixels.minimum or 0)
    if spec.class_type == _TO_A_MEGAPIXEL:
        how = {"upscale_method": "lanczos", "megapixels": least, "resolution_steps": CELL}
        return replace(spec, class_type=_TO_PIXELS, inputs={**spec.inputs, **how})
    given = spec.inputs.get("megapixels", megapixels.default)
    if not (_is_number(given) and given > least):
        return None
    return replace(spec, inputs={**spec.inputs, "megapixels": least})


def _gives_size(node_class: type[Node]) -> bool:
    """Whether a node makes a latent picture of a given size; a part of one (with x and y) does not count."""
    specs = inputs_of(node_class)
    has_sides = all(name in specs and specs[name].socket == "INT" for name in _SIDES)
    return has_sides and "x" not in specs and any(each.socket == "LATENT" for each in outputs_of(node_class))


def _given(spec: NodeSpec, node_class: type[Node], name: str) -> Any:
    return spec.inputs.get(name, inputs_of(node_class)[name].default)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _fitting(width: float, height: float, most: int) -> tuple[int, int]:
    """The largest size of about the same proportion with no more than ``most`` pixels."""
    scale = math.sqrt(most / (width * height))
    rounded = (_rounded(width * scale), _rounded(height * scale))
    limit = _rounded(most / min(rounded))  # less than a side where the other had to be one cell
    return min(rounded[0], limit), min(rounded[1], limit)


def _rounded(side: float) -> int:
    return max(CELL, int(side / CELL + 1e-9) * CELL)
