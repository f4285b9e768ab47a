"""The plan of a run: which nodes, their keys, who reads whom. Pure data, no execution.

Content-identical nodes have equal keys; the first of them in topological order stands for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graph.context import Environment
from graph.declaration import lazy_inputs_of
from graph.faults import Fault, WorkflowError
from graph.fingerprint import key_of, own_text
from graph.links import Link
from graph.node import Node
from graph.validation import Checked


class NodeLinks(NamedTuple):
    """A node's linked inputs by name: those computed before it, those only if it asks, and both.

    The links lead to the nodes that stand for the original ones.
    """

    eager: dict[str, Link]
    lazy: dict[str, Link]
    all: dict[str, Link]


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
    own : mapping
        By id what the result depends on besides the links (:func:`graph.fingerprint.own_text`).
    twin : mapping
        For each id the id that stands for its key (itself for most).
    depth : mapping
        Longest distance from a node without inputs.
    links : mapping
        The links of each id that stands for its key.
    """

    nodes: Mapping[str, Node]
    targets: tuple[str, ...]
    keys: Mapping[str, str]
    own: Mapping[str, str]
    twin: Mapping[str, str]
    depth: Mapping[str, int]
    links: Mapping[str, NodeLinks]


def make_plan(checked: Checked, env: Environment) -> Plan:
    """Compute keys, twins, depths and links in one pass.

    Raises
    ------
    WorkflowError
        If the workflow has faults, or a node cannot tell what its result depends on.
    """
    if checked.faults:
        raise WorkflowError(checked.faults)
    keys: dict[str, str] = {}
    own: dict[str, str] = {}
    first: dict[str, str] = {}
    twin: dict[str, str] = {}
    depth: dict[str, int] = {}
    links: dict[str, NodeLinks] = {}
    for node_id, node in checked.nodes.items():
        linked = {name: value for name, value in node.__dict__.items() if isinstance(value, Link)}
        depth[node_id] = 1 + max([depth[link.node_id] for link in linked.values()]) if linked else 0
        own[node_id] = _own(node_id, node, env)
        sources = {name: f"{keys[link.node_id]} {link.slot}" for name, link in linked.items()}
        keys[node_id] = key = key_of(own[node_id], sources)
        twin[node_id] = standing = first.setdefault(key, node_id)
        if standing == node_id:
            links[node_id] = _node_links(type(node), linked, twin)
    return Plan(checked.nodes, checked.targets, keys, own, twin, depth, links)


def together(plans: Mapping[str, Plan]) -> Plan:
    """Several plans as one, in which what they have in common is done once.

    Parameters
    ----------
    plans : mapping
        By the name that stands before the ids of each one's nodes: ``name:id``. No name holds a colon.
    """
    nodes: dict[str, Node] = {}
    targets: list[str] = []
    keys: dict[str, str] = {}
    own: dict[str, str] = {}
    first: dict[str, str] = {}
    twin: dict[str, str] = {}
    depth: dict[str, int] = {}
    links: dict[str, NodeLinks] = {}
    for name, plan in plans.items():
        targets += [f"{name}:{target}" for target in plan.targets]
        for node_id, node in plan.nodes.items():
            place = f"{name}:{node_id}"
            nodes[place], depth[place], own[place] = node, plan.depth[node_id], plan.own[node_id]
            keys[place] = key = plan.keys[node_id]
            twin[place] = first.setdefault(key, place)
            if twin[place] == place:
                links[place] = NodeLinks(*(_moved(part, name, twin) for part in plan.links[node_id]))
    return Plan(nodes, tuple(targets), keys, own, twin, depth, links)


def _moved(links: Mapping[str, Link], name: str, twin: Mapping[str, str]) -> dict[str, Link]:
    return {input_name: Link(twin[f"{name}:{link.node_id}"], link.slot) for input_name, link in links.items()}


def _node_links(node_class: type[Node], linked: dict[str, Link], twin: Mapping[str, str]) -> NodeLinks:
    for name, link in linked.items():
        standing = twin[link.node_id]
        if standing != link.node_id:
            linked[name] = Link(standing, link.slot)
    lazy_names = lazy_inputs_of(node_class)
    if not lazy_names:
        return NodeLinks(linked, {}, linked)
    lazy = {name: link for name, link in linked.items() if name in lazy_names}
    eager = {name: link for name, link in linked.items() if name not in lazy_names}
    return NodeLinks(eager, lazy, {**eager, **lazy})


def _own(node_id: str, node: Node, env: Environment) -> str:
    try:
        return own_text(node, node.fingerprint(env))
    except Exception as error:  # a file that vanished, a fingerprint that is no JSON value, ...
        fault = Fault(
            "fingerprint_failed",
            f"what its result depends on cannot be told: {type(error).__name__}: {error}",
            "Check its inputs, and the files that they name.",
            node_id,
            node.class_type,
        )
        raise WorkflowError([fault]) from error
