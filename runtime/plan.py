"""The plan of a run: which nodes, their keys, who reads whom. Pure data, no execution.

Content-identical nodes have equal keys; the first of them in topological order stands for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graph.context import Environment
from graph.declaration import inputs_of
from graph.faults import WorkflowError
from graph.fingerprint import node_key
from graph.links import Link
from graph.node import Node
from graph.validation import Checked


@dataclass(frozen=True)
class NodeLinks:
    """A node's linked inputs by name: those computed before it, and those only if it asks."""

    eager: dict[str, Link]
    lazy: dict[str, Link]

    @property
    def all(self) -> dict[str, Link]:
        return {**self.eager, **self.lazy} if self.lazy else self.eager


@dataclass(frozen=True)
class Plan:
    """What an executor needs to know.

    Attributes
    ----------
    nodes : mapping
        Checked nodes by id, in topological order.
    targets : tuple of str
        Ids whose outputs are wanted, as the caller named them.
    keys : mapping
        Result key by id.
    twin : mapping
        For each id the id that stands for its key (itself for most).
    depth : mapping
        Longest distance from a node without inputs.
    """

    nodes: Mapping[str, Node]
    targets: tuple[str, ...]
    keys: Mapping[str, str]
    twin: Mapping[str, str]
    depth: Mapping[str, int]

    def links(self, node_id: str) -> NodeLinks:
        """A node's linked inputs, sources replaced by their twins."""
        node = self.nodes[node_id]
        specs = inputs_of(type(node))
        links = NodeLinks({}, {})
        for name, value in node.__dict__.items():
            if isinstance(value, Link):
                kind = links.lazy if specs[name].lazy else links.eager
                kind[name] = Link(self.twin[value.node_id], value.slot)
        return links


def make_plan(checked: Checked, env: Environment) -> Plan:
    """Compute keys and twins in one pass.

    Raises
    ------
    WorkflowError
        If the workflow has faults.
    """
    if checked.faults:
        raise WorkflowError(checked.faults)
    keys: dict[str, str] = {}
    first: dict[str, str] = {}
    twin: dict[str, str] = {}
    depth: dict[str, int] = {}
    for node_id, node in checked.nodes.items():
        keys[node_id] = key = node_key(node, keys, node.fingerprint(env))
        twin[node_id] = first.setdefault(key, node_id)
        sources = (value.node_id for value in node.__dict__.values() if isinstance(value, Link))
        depth[node_id] = 1 + max((depth[source] for source in sources), default=-1)
    return Plan(checked.nodes, checked.targets, keys, twin, depth)
