"""An editor file as data: graphs of nodes and links, still with everything that only the editor knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"
"""The ids that links inside a subgraph use for its inputs and its outputs."""

ALWAYS, MUTED, BYPASSED = 0, 2, 4
"""Modes of a node; all others count as always."""

OWN_INPUTS = "run_graph_inputs"
"""The property of a node that keeps literals for which ComfyUI's node of that name has no widget."""


@dataclass(frozen=True, slots=True)
class InputSlot:
    """An input of a node. ``link`` is the id of its link; ``widget`` the name of the widget it belongs to."""

    name: str
    type: str
    link: str | None = None
    widget: str | None = None


@dataclass(frozen=True, slots=True)
class EditorNode:
    """A node as the editor saves it.

    ``values`` are its widgets' values: a list by position, or an object by name (some extensions). ``named``
    has them by name, where the editor saved that too. ``outputs`` are the types of its outputs.
    """

    id: str
    type: str
    title: str | None = None
    mode: int = ALWAYS
    inputs: tuple[InputSlot, ...] = ()
    outputs: tuple[str, ...] = ()
    values: Sequence[Any] | Mapping[str, Any] | None = None
    named: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_expanded(self) -> bool:
        """Whether it takes part: it is neither muted nor bypassed."""
        return self.mode not in (MUTED, BYPASSED)


@dataclass(frozen=True, slots=True)
class EditorLink:
    """A link between two nodes of one graph, or to the boundary of a subgraph."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a subgraph, and the ids of the links inside it."""

    name: str
    type: str
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EditorGraph:
    """The nodes and links of the whole file or of one subgraph, by id; a subgraph has ports too."""

    name: str
    nodes: Mapping[str, EditorNode]
    links: Mapping[str, EditorLink]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    unclaimed: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Links that no input names, by the node and the input that they name themselves."""

    def link_into(self, node: EditorNode, slot: int) -> EditorLink | None:
        """The link into an input; None if it is not linked."""
        if slot >= len(node.inputs):
            return None
        link_id = node.inputs[slot].link
        if link_id is None or link_id not in self.links:
            link_id = self.unclaimed.get((node.id, slot))
        return None if link_id is None else self.links[link_id]


@dataclass(frozen=True, slots=True)
class EditorDocument:
    """A whole file: the main graph, subgraphs by id, and group nodes, as they are written, by name.

    ``last_id`` is the highest id that the editor has given to a node.
    """

    root: EditorGraph
    subgraphs: Mapping[str, EditorGraph]
    group_nodes: Mapping[str, Any]
    last_id: int = 0
