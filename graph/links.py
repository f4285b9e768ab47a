"""Links: how one node's input names another node's output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to an output: the node's id and the output's slot.

    ``slot`` is the output's position; in files it may also be the output's name, which is replaced by
    the position as soon as the node's class is known.
    """

    node_id: str
    slot: int | str = 0

    def to_json(self) -> list[Any]:
        """The link as files spell it: ``[node id, slot]``."""
        return [self.node_id, self.slot]


def parse_link(value: Any) -> Link | None:
    """The link that a JSON value spells, or None if it spells none.

    A link is a list of exactly two items, a node id (string) and a slot (whole number or name).
    """
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
        return None
    slot = value[1]
    if isinstance(slot, bool):
        return None
    if isinstance(slot, float) and slot.is_integer():  # numbers that a browser wrote
        slot = int(slot)
    return Link(value[0], slot) if isinstance(slot, int | str) else None


class OutputHandle(Link):
    """What :meth:`graph.Graph.add` hands out for an output: a link that knows its socket type.

    To a type checker it is the value itself (``photo.image`` is an ``Image``), so that linking a
    wrong socket is a type error. While the graph is being built it holds no value yet.
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
            f"(asked for .{attribute}); run the graph and ask the result: result.value(...)"
        )

    def __repr__(self) -> str:
        return f"<{self.produced} {self.node_id}.{self.name}>"
