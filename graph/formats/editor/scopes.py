"""Subgraphs expanded: one scope for the main graph and one for each instance of a subgraph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.formats.editor.document import EditorDocument, EditorGraph, EditorNode

MAXIMUM_NESTING = 50
# Nodes and values made by expanding: a small file with subgraphs in subgraphs could mean billions.
MAXIMUM_EXPANDED = 250_000


class Instance(NamedTuple):
    """An instance of a subgraph: the scope that it is in, and its node."""

    scope: Scope
    node: EditorNode


@dataclass(eq=False)
class Scope:
    """One use of a graph.

    Attributes
    ----------
    graph : EditorGraph
    path : str
        What the ids of its members begin with: ``""``, ``"5:"``, ``"5:12:"``.
    instance : Instance, optional
        None for the main graph.
    children : dict
        The scopes of the instances in it, by the id of the instance.
    """

    graph: EditorGraph
    path: str = ""
    instance: Instance | None = None
    children: dict[str, Scope] = field(default_factory=dict)

    def id_of(self, node: EditorNode) -> str:
        """The id that a member has in the workflow."""
        return self.path + node.id


def expanded(document: EditorDocument) -> list[tuple[Scope, EditorNode]]:
    """All nodes that are no instances of a subgraph, each with its scope, in the order of the file.

    Instances in the main graph that are muted or bypassed have no scope. The editor does expand those that
    are inside another instance, although nothing reads their members.

    Raises
    ------
    WorkflowError
        If a subgraph contains itself, or they mean too many nodes.
    """
    root = Scope(document.root)
    weights: dict[int, int] = {}
    total = 0
    members: list[tuple[Scope, EditorNode]] = []
    pending: list[tuple[Scope, Iterator[EditorNode]]] = [(root, iter(root.graph.nodes.values()))]
    while pending:
        scope, nodes = pending[-1]
        for node in nodes:
            graph = document.subgraphs.get(node.type)
            if graph is None:
                members.append((scope, node))
                continue
            if not node.is_expanded and scope.instance is None:
                continue
            total += _weight(graph, weights)
            child = Scope(graph, f"{scope.id_of(node)}:", Instance(scope, node))
            _check(child, [outer.graph for outer, _ in pending], total)
            scope.children[node.id] = child
            pending.append((child, iter(graph.nodes.values())))
            break
        else:
            pending.pop()
    return members


def _check(scope: Scope, outer: list[EditorGraph], total: int) -> None:
    name = scope.graph.name or scope.path.removesuffix(":")
    if any(graph is scope.graph for graph in outer):
        message, code = f"the subgraph {name!r} contains itself", "subgraph_cycle"
        fix = "Remove the instance of it that is inside it."
    elif len(outer) > MAXIMUM_NESTING:
        message = f"subgraphs are nested more than {MAXIMUM_NESTING} levels deep"
        code, fix = "subgraph_too_deep", "Unpack some of them in ComfyUI."
    elif total > MAXIMUM_EXPANDED:
        raise too_many(scope.path.removesuffix(":"))
    else:
        return
    raise WorkflowError([Fault(code, message, fix, scope.path.removesuffix(":"))])


def too_many(node_id: str) -> WorkflowError:
    """The error of an instance that is one too many."""
    message = f"with this instance, subgraphs mean more than {MAXIMUM_EXPANDED:,} nodes and values"
    return WorkflowError([Fault("too_many_nodes", message, "Use fewer instances.", node_id)])


def _weight(graph: EditorGraph, known: dict[int, int]) -> int:
    """How many nodes and values one more instance of a graph adds."""
    if id(graph) not in known:
        ports = len(graph.inputs) + len(graph.outputs)
        known[id(graph)] = ports + sum(
            1 + len(node.inputs) + _size(node.values) + _size(node.named) for node in graph.nodes.values()
        )
    return known[id(graph)]


def _size(value: Any) -> int:
    pending, count = [value], 0
    for each in pending:  # grows while it is walked
        if isinstance(each, Mapping):
            pending += each.values()
        elif isinstance(each, list):
            pending += each
        count += 1
    return count
