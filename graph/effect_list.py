"""The effects of a whole workflow, found without running it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from run_graph.graph.context import Environment
from run_graph.graph.effects import Effect
from run_graph.graph.node import Node
from run_graph.graph.node_files import package_of
from run_graph.graph.registry import Registry
from run_graph.graph.third_party import raise_if_interrupt
from run_graph.graph.validation import check
from run_graph.graph.workflow import Workflow

_OWN_PACKAGE = __name__.partition(".")[0]


def effects_of(
    workflow: Workflow, registry: Registry, env: Environment, targets: Iterable[str] | None = None
) -> list[Effect]:
    """What running the targets would do, in the order of the nodes; empty if the workflow has faults.

    What a link delivers, such as a path that another node makes up, is not known before the run.
    """
    return effects_of_nodes(check(workflow, registry, targets, env).nodes, env)


def effects_of_nodes(nodes: Mapping[str, Node], env: Environment) -> list[Effect]:
    """What running checked nodes would do (:attr:`graph.validation.Checked.nodes`)."""
    return [effect for node_id, node in nodes.items() for effect in _of_node(node_id, node, env)]


def _of_node(node_id: str, node: Node, env: Environment) -> Iterator[Effect]:
    package = package_of(type(node))
    if package != _OWN_PACKAGE:
        yield Effect("package", package, node_id=node_id)
    try:
        declared = list(node.effects(env))
    except BaseException as error:  # what is wrong with the node is reported by its `check`
        raise_if_interrupt(error)
        return
    for effect in declared:
        yield replace(effect, node_id=node_id)
