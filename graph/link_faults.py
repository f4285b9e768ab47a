"""Check one link of a workflow and write its slot as a number; called by :mod:`graph.validation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from run_graph.graph.declaration import OutputSpec, output_table, outputs_of
from run_graph.graph.faults import Fault, Names, listed
from run_graph.graph.links import Link
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.sockets import compatible
from run_graph.graph.workflow import NodeSpec


@dataclass(frozen=True)
class Known:
    """What links can lead to.

    Attributes
    ----------
    nodes : mapping
        The workflow's, by id.
    classes : mapping
        The known node classes that the workflow uses, by class_type; there may be more.
    registry : Registry
    class_of : mapping
        The class of each node that a link may lead to, by id, if it is known.
    """

    nodes: Mapping[str, NodeSpec]
    classes: Mapping[str, type[Node]]
    registry: Registry
    class_of: Mapping[str, type[Node] | None]

    @cached_property
    def node_ids(self) -> Names:
        return Names(self.nodes)


def check_link(name: str, value: Link | list[Any], accepted: str, known: Known) -> tuple[Link, Fault | None]:
    """Check a link, and replace the name of an output by its slot number.

    Parameters
    ----------
    name : str
        The linked input.
    value : Link or list
        A list is a malformed link.
    accepted : str
        The socket type of the input.
    known : Known

    Returns
    -------
    link, fault
        ``fault`` is None if the link is good. A wrong link is returned too, so that the input does not
        also count as missing.
    """
    if isinstance(value, list):
        return Link(""), _malformed(name, value)
    if value.node_id not in known.nodes:
        return value, _missing_node(name, value, known.node_ids)
    source_class = known.class_of[value.node_id]
    if source_class is None:
        return value, None  # reported at the source itself
    slot = fitting_slot(source_class, value.slot, accepted)
    if slot is not None:
        return value if value.slot == slot else Link(value.node_id, slot), None
    output = output_table(source_class).get(value.slot)
    if output is None:
        return value, missing_output(name, value, source_class)
    better = output_that_fits(source_class, accepted)
    fix = (
        f'Link its output {better!r} instead: ["{value.node_id}", "{better}"].'
        if better
        else link_to_a_maker(accepted, known.registry)
    )
    return Link(value.node_id, output.slot), mismatch(name, value, source_class, output, accepted, fix)


@cache
def fitting_slot(source_class: type[Node] | None, slot: int | str, accepted: str) -> int | None:
    """The slot number of the output, or None if it does not exist or does not fit the input."""
    if source_class is None:
        return None
    output = output_table(source_class).get(slot)
    return output.slot if output is not None and compatible(output.socket, accepted) else None


def _malformed(name: str, value: list[Any]) -> Fault:
    return Fault(
        "bad_linked_input",
        "a list here must be a link, and this is not one",
        'Write a link as ["node id", slot]; write a literal list as {"__value__": [...]}.',
        input=name,
        found=str(value)[:80],
        expected='["node id", slot number or output name]',
    )


def _missing_node(name: str, link: Link, node_ids: Names) -> Fault:
    return Fault(
        "link_to_missing_node",
        f"the link leads to node {link.node_id!r}, which does not exist",
        node_ids.suggestion(link.node_id, "Link it to an existing node."),
        input=name,
        found=str(link.to_json()),
    )


def missing_output(name: str, link: Link, source_class: type[Node]) -> Fault:
    """The fault of a link to an output that its node does not have."""
    outputs = outputs_of(source_class)
    listing = ", ".join(f"{out.slot} = {out.name} ({out.socket})" for out in outputs) or "none"
    return Fault(
        "link_to_missing_output",
        f"node {link.node_id!r} ({source_class.class_type}) has no output {link.slot!r}",
        "Link one of its outputs.",
        input=name,
        found=str(link.to_json()),
        expected=listing,
    )


def mismatch(
    name: str, link: Link, source_class: type[Node], output: OutputSpec, accepted: str, fix: str
) -> Fault:
    """The fault of a link to an output of the wrong type."""
    return Fault(
        "return_type_mismatch",
        f"output {output.name!r} of node {link.node_id!r} ({source_class.class_type}) does not fit here",
        fix,
        input=name,
        found=output.socket,
        expected=accepted,
    )


def output_that_fits(source_class: type[Node], accepted: str) -> str | None:
    """The output of a node that was probably meant; None if none fits the input."""
    return next((out.name for out in outputs_of(source_class) if compatible(out.socket, accepted)), None)


def link_to_a_maker(accepted: str, registry: Registry) -> str:
    """The fix for a link to a node that has nothing of the wanted type."""
    makers = listed(registry.producing(accepted), 3)
    return f"Link it to a node that makes {accepted}{f', such as {makers}' if makers else ''}."
