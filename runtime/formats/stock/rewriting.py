"""The state of rewriting a workflow: new nodes, what each old output became, what has no equivalent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from run_graph.graph.faults import Fault, listed, shorten
from run_graph.graph.links import Link
from run_graph.graph.workflow import NodeSpec, Workflow, own_copy

_FIX = "Change it, or rebuild this part in ComfyUI by hand."


@dataclass(eq=False)
class Later:
    """An output whose node is added when something first reads it."""

    make: Callable[[], Link]
    made: Link | None = None

    def link(self) -> Link:
        """The link to it."""
        if self.made is None:
            self.made = self.make()
        return self.made


@dataclass(frozen=True)
class Grid:
    """A reduced grid of tokens: its side, how it is computed, and the mode that means it."""

    side: int
    kernel: str
    mode: str | None


@dataclass(eq=False)
class Vision(Later):
    """SigLIP's output, with what made it; ``fit`` as in SiglipEncode."""

    siglip: Link | None = None
    image: Link | None = None
    fit: str = "crop"


@dataclass(frozen=True)
class Tokens:
    """Redux tokens, which ComfyUI's nodes have no socket for: they make and append them in one node."""

    redux: Link
    vision: Link | Vision
    grid: Grid | None = None


Output = Link | Later | Tokens


@dataclass
class Rewriting:
    """A workflow being rewritten.

    Attributes
    ----------
    workflow : Workflow
        The one with our nodes; every parameter is written out, and links have numbers.
    nodes : dict
        The new nodes by id.
    outputs : dict
        What an old output became, by node and slot.
    faults : list of Fault
        What has no equivalent.
    notes : dict
        Texts for the user, each with the names that it is about.
    """

    workflow: Workflow
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    outputs: dict[tuple[str, int], Output] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, node_id: str, class_type: str, inputs: Mapping[str, Any], slot: int = 0) -> Link:
        """Add a node, under another id if its own is taken; returns a link to one of its outputs."""
        name, number = node_id, 1
        while name in self.nodes or (name != node_id and name in self.workflow.nodes):
            number += 1
            name = f"{node_id}_{number}"
        old = self.workflow.nodes.get(name)
        self.nodes[name] = NodeSpec(class_type, inputs, old.title if old else None)
        return Link(name, slot)

    def value(self, node_id: str, name: str) -> Any:
        """An input of an old node, as the new nodes have it: a literal or a link."""
        value = self.workflow.nodes[node_id].inputs.get(name)
        if not isinstance(value, Link):
            return own_copy(value)
        output = self.outputs.get((value.node_id, value.slot))  # type: ignore[arg-type]  # slots are numbers
        if isinstance(output, Later):
            return output.link()
        if isinstance(output, Tokens):
            self.lacks(node_id, name, "Redux tokens can only be appended to a prompt in ComfyUI")
            return None
        return output  # None if the node has no equivalent, which is told there

    def literal(self, node_id: str, name: str) -> Any:
        """An input that has to be known; None, and told, if it is linked."""
        value = self.workflow.nodes[node_id].inputs.get(name)
        if isinstance(value, Link):
            self.lacks(node_id, name, "its value has to be known, but it is linked")
            return None
        return value

    def output_into(self, node_id: str, name: str) -> Output | None:
        """What the output became that an input of an old node is linked to."""
        link = self.workflow.nodes[node_id].inputs.get(name)
        return self.outputs.get((link.node_id, link.slot)) if isinstance(link, Link) else None  # type: ignore[arg-type]

    def lacks(self, node_id: str, name: str | None, message: str, found: Any = None) -> None:
        """Note that something has no equivalent."""
        shown = None if found is None else shorten(found, 60)
        class_type = self.workflow.nodes[node_id].class_type
        self.faults.append(Fault("no_equivalent", message, _FIX, node_id, class_type, name, shown))

    def note(self, text: str, *names: str) -> None:
        """Note what the user should know; the same text once, with all its names."""
        self.notes.setdefault(text, {}).update(dict.fromkeys(names))

    def lines(self) -> Iterator[str]:
        """The notes, each on a line."""
        for text, names in self.notes.items():
            yield f"{text}: {listed(names, limit=len(names))}" if names else text
