"""Links: how an input of one node refers to an output of another."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to an output: the node's id and the output's slot.

    ``slot`` is the position of the output. In files it may also be the name of the output; validation
    replaces it by the position.
    """

    node_id: str
    slot: int | str = 0

    def to_json(self) -> list[Any]:
        """The link as it is written in files: ``[node id, slot]``."""
        return [self.node_id, self.slot]


def parse_link(value: Any) -> Link | None:
    """Read a link from a JSON value; None if the value is not a link.

    A link is a list of exactly two items, a node id (string) and a slot (whole number or name).
    """
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
        return None
    slot = value[1]
    if isinstance(slot, bool):
        return None
    if isinstance(slot, float) and slot.is_integer():  # JavaScript may write 1 as 1.0
        slot = int(slot)
    return Link(same_text(value[0]), slot) if isinstance(slot, int | str) else None


def same_text(node_id: str) -> str:
    """The id as the one object that all equal ids share, so that looking one up compares no characters."""
    return sys.intern(node_id) if type(node_id) is str else node_id


class OutputHandle(Link):
    """What :meth:`graph.Graph.add` returns for each output: a link that knows its socket type.

    To a type checker it is the value itself (``photo.image`` is an ``Image``), so that linking a wrong
    socket is a type error. It never holds a value: run the graph to get one.
    """

    __slots__ = ("graph", "name", "produced")

    def __init__(self, node_id: str, slot: int, *, name: str, produced: str, graph: object) -> None:
        super().__init__(node_id, slot)
        for attribute, value in (("name", name), ("produced", produced), ("graph", graph)):
            object.__setattr__(self, attribute, value)

    name: str
    produced: str
    graph: object

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(
            f"output {self.name!r} of node {self.node_id!r} has no value while the graph is being built "
            f"(asked for .{attribute}); run the graph and call value on its result: result.value(...)"
        )

    def __repr__(self) -> str:
        return f"<{self.produced} {self.node_id}.{self.name}>"
