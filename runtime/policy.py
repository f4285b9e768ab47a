"""Which of the ready nodes runs next: the one decision apart from the mechanism.

Nodes that compute with no model run first: they are quick, finish pictures early and free memory. Then
come nodes for whose model there is room without another one leaving, those nearest to the graph's end
first, so that a picture of a batch is finished before the next is begun. Where there is no such room, the
model in use is used up, and then comes the one whose next node is nearest to the graph's beginning, so
that all text is encoded before the first picture is sampled and each model is loaded once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable

Affinity = Hashable | None


class ReadyNodes:
    """The ready nodes, grouped by the model that they use (their *affinity*; None for no model)."""

    def __init__(self) -> None:
        self._groups: dict[Affinity, list[tuple[int, int, str]]] = {}
        self._current: Affinity = None

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, node_id: str, affinity: Affinity, depth: int, position: int) -> None:
        """Add a node; within a group the least depth, then the least position, goes first."""
        heapq.heappush(self._groups.setdefault(affinity, []), (depth, position, node_id))

    def pop(self, has_room: Callable[[str], bool]) -> str:
        """Remove and return the node to run next.

        ``has_room`` tells of a node's id whether its model can be used without another one leaving.
        """
        affinity = self._choose(has_room)
        group = self._groups[affinity]
        _, _, node_id = heapq.heappop(group)
        if not group:
            del self._groups[affinity]
        if affinity is not None:
            self._current = affinity
        return node_id

    def _choose(self, has_room: Callable[[str], bool]) -> Affinity:
        if None in self._groups:
            return None
        roomy = [affinity for affinity, group in self._groups.items() if has_room(group[0][2])]
        if roomy:
            return max(roomy, key=lambda affinity: (self._groups[affinity][0][0], affinity == self._current))
        if self._current in self._groups:
            return self._current
        return min(self._groups, key=lambda affinity: self._groups[affinity][0])
