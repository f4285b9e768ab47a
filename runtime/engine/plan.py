"""The plan of a run: which nodes, their keys, who reads whom. Pure data, no execution; can be pickled.

Identical nodes have equal keys; the first of them in topological order is computed for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from run_graph.graph.context import Environment
from run_graph.graph.declaration import lazy_inputs_of
from run_graph.graph.faults import Fault, WorkflowError
from run_graph.graph.fingerprint import key_of, link_line, own_text_and_links
from run_graph.graph.forwarding import forwarded_inputs
from run_graph.graph.links import Link
from run_graph.graph.node import Node
from run_graph.graph.third_party import described, raise_if_interrupt
from run_graph.graph.validation import Checked

Links = Mapping[str, Link]

_NO_LINKS: Links = {}  # not a mapping proxy, which cannot be pickled


class Step(NamedTuple):
    """A node that is computed or found once for all nodes with the same key.

    Attributes
    ----------
    node_id : str
        Its id, or the id of the first of several.
    node : Node
        Validated; linked inputs hold links.
    key : str
        Its result's key.
    own : str
        What the result depends on besides the links (:func:`graph.fingerprint.own_text_and_links`).
    depth : int
        Longest distance from a node without inputs.
    position : int
        Number of steps before it in topological order.
    links, eager, lazy : mapping
        The linked inputs by name: all; those computed before it; those computed only if it asks. Their ids
        are those of steps (``Step.node_id``), never of duplicates.
    """

    node_id: str
    node: Node
    key: str
    own: str
    depth: int
    position: int
    links: Links
    eager: Links
    lazy: Links


@dataclass(frozen=True)
class Plan:
    """What an executor needs to know.

    Attributes
    ----------
    targets : tuple of str
        The ids whose outputs are wanted, as the caller named them.
    steps : mapping
        For each node's id, in topological order, the step that computes it.
    by_key : mapping
        Each step once, by key, in topological order.
    """

    targets: tuple[str, ...]
    steps: Mapping[str, Step]
    by_key: Mapping[str, Step]


def make_plan(checked: Checked, env: Environment) -> Plan:
    """Compute keys, duplicates, depths and links in one pass.

    Raises
    ------
    WorkflowError
        If the workflow has faults, or a node cannot say what its result depends on.
    """
    if checked.faults:
        raise WorkflowError(checked.faults)
    steps: dict[str, Step] = {}
    by_key: dict[str, Step] = {}
    for node_id, node in checked.nodes.items():
        step = _step(node_id, node, env, steps, len(by_key))
        steps[node_id] = by_key.setdefault(step.key, step)
    return Plan(checked.targets, steps, by_key)


def _step(node_id: str, node: Node, env: Environment, before: Mapping[str, Step], position: int) -> Step:
    """The step of a node whose sources are in ``before``."""
    try:
        own, links = own_text_and_links(node, node.fingerprint(env))
    except BaseException as error:  # a file that vanished, a fingerprint that is not a JSON value, ...
        raise_if_interrupt(error)
        raise WorkflowError([_fingerprint_failed(node_id, node, error)]) from error
    input_digest, depth = own, 0
    for name, link in links.items():
        source = before[link.node_id]
        forwards = forwarded_inputs(type(source.node))
        if forwards and link.slot in forwards:
            link = links[name] = source.links[forwards[int(link.slot)]]
            source = before[link.node_id]
        input_digest += link_line(name, f"{source.key} {link.slot}")
        if source.depth >= depth:
            depth = source.depth + 1
        if source.node_id != link.node_id:
            links[name] = Link(source.node_id, link.slot)
    lazy_names = lazy_inputs_of(type(node))
    eager, lazy = _by_need(links, lazy_names) if lazy_names else (links, _NO_LINKS)
    return Step(node_id, node, key_of(input_digest), own, depth, position, links, eager, lazy)


def together(plans: Mapping[str, Plan]) -> Plan:
    """Several plans as one, in which shared work is done once.

    Parameters
    ----------
    plans : mapping
        By the prefix of each one's node ids: ``name:id``. No name contains a colon.
    """
    targets: list[str] = []
    steps: dict[str, Step] = {}
    by_key: dict[str, Step] = {}
    for name, plan in plans.items():
        targets += [f"{name}:{target}" for target in plan.targets]
        for node_id, step in plan.steps.items():
            place = f"{name}:{node_id}"
            if step.key not in by_key:
                by_key[step.key] = _moved(step, name, place, len(by_key), steps)
            steps[place] = by_key[step.key]
    return Plan(tuple(targets), steps, by_key)


def _moved(step: Step, name: str, place: str, position: int, steps: Mapping[str, Step]) -> Step:
    """A step under its id in the common plan."""
    links, eager, lazy = (
        {
            input_name: Link(steps[f"{name}:{link.node_id}"].node_id, link.slot)
            for input_name, link in part.items()
        }
        for part in (step.links, step.eager, step.lazy)
    )
    return step._replace(node_id=place, position=position, links=links, eager=eager, lazy=lazy)


def _by_need(links: Links, lazy_names: Set[str]) -> tuple[Links, Links]:
    """The links that are computed before the node, and those that are computed if it asks."""
    lazy = {name: link for name, link in links.items() if name in lazy_names}
    return {name: link for name, link in links.items() if name not in lazy_names}, lazy


def _fingerprint_failed(node_id: str, node: Node, error: BaseException) -> Fault:
    return Fault(
        "fingerprint_failed",
        f"its fingerprint cannot be computed: {described(error)}",
        "Check its inputs, and the files that they name.",
        node_id,
        node.class_type,
    )
