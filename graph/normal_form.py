"""Checked nodes back as workflow data: every parameter written out, links by slot number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from run_graph.graph.declaration import inputs_of
from run_graph.graph.node import Node
from run_graph.graph.workflow import NodeSpec, Workflow, is_wrapped


def node_spec(node: Node, title: str | None = None) -> NodeSpec:
    """A node as workflow data. Optional parameters that default to None and are None are left out."""
    inputs: dict[str, Any] = {}
    for name, spec in inputs_of(type(node)).items():
        value = getattr(node, name)
        if value is None and not spec.required and spec.default is None:
            continue
        inputs[name] = {"__value__": value} if _needs_wrapping(value) else value
    return NodeSpec(node.class_type, inputs, title)


def _needs_wrapping(value: Any) -> bool:
    """Whether a literal would otherwise be misread: a list as a link, a wrapper as its content."""
    return isinstance(value, list) or is_wrapped(value)


def normalised(nodes: Mapping[str, Node], original: Workflow) -> Workflow:
    """Checked nodes as a workflow, in the order and with the titles of the original."""
    return Workflow(
        {
            node_id: node_spec(nodes[node_id], spec.title)
            for node_id, spec in original.nodes.items()
            if node_id in nodes
        }
    )
