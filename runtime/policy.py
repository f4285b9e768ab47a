"""Which of the ready nodes runs next: the one decision apart from the mechanism.

Nodes that compute with no model run first: they are quick, finish pictures early and free memory. Then
come nodes that use the model that is in use already, then those of the model whose next node is nearest
to the graph's beginning, so that all text is encoded before the first picture is sampled and each model
is loaded once where memory holds only one.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable

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

    def pop(self) -> str:
        """Remove and return the node to run next."""
        affinity = self._choose()
        group = self._groups[affinity]
        _, _, node_id = heapq.heappop(group)
        if not group:
            del self._groups[affinity]
        if affinity is not None:
            self._current = affinity
        return node_id

    def _choose(self) -> Affinity:
        for preferred in (None, self._current):
            if preferred in self._groups:
                return preferred
        return min(self._groups, key=lambda affinity: self._groups[affinity][0])
