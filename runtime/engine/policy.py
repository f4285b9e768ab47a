"""Which of the ready nodes runs next: the policy, apart from the mechanism.

Nodes that need no model run first: they are quick, finish pictures early and free memory. Next are nodes
whose model fits in memory without evicting another one; of these, the nodes nearest to the graph's end run
first, so that one picture of a batch is finished before the next begins. If no model fits, all nodes of the
model in use run first, and then those of the model whose next node is nearest to the graph's beginning, so
that all text is encoded before the first picture is sampled.

Before a model is loaded, the policy looks one step ahead: if another model whose nodes are ready will make
more work for it, and the two do not fit in memory together, the other model is used first. Each model is
then loaded once wherever the graph allows it, even if several workflows of different depths run together.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping, Set

Affinity = Hashable | None
Awaited = Mapping[Affinity, Set[Affinity]]


class ReadyNodes:
    """The ready nodes, grouped by the model that they use (their *affinity*; None for no model)."""

    def __init__(self) -> None:
        self._free: list[tuple[int, int, str]] = []  # need no model
        self._groups: dict[Affinity, list[tuple[int, int, str]]] = {}
        self._current: Affinity = None  # the model used last
        self._used: set[Affinity] = set()

    def __bool__(self) -> bool:
        return bool(self._free or self._groups)

    def add(self, node_id: str, affinity: Affinity, depth: int, position: int) -> None:
        """Add a node; within a group the least depth, then the least position, goes first."""
        group = self._free if affinity is None else self._groups.setdefault(affinity, [])
        heapq.heappush(group, (depth, position, node_id))

    def models(self) -> dict[str, Affinity]:
        """The model of each ready node."""
        groups = {None: self._free, **self._groups}
        return {node_id: model for model, group in groups.items() for _, _, node_id in group}

    def pop(self, has_room: Callable[..., bool], awaited: Callable[[], Awaited] = dict) -> str:
        """Remove and return the node to run next.

        Parameters
        ----------
        has_room : callable
            Given the ids of one or more nodes, whether their models can be used together without evicting
            another one.
        awaited : callable
            For each model that nodes which are not ready will use, the models of the ready nodes that they
            wait for. Called only before a model is loaded.
        """
        if self._free:
            return heapq.heappop(self._free)[-1]
        affinity = self._choose(has_room, awaited)
        group = self._groups[affinity]
        node_id = heapq.heappop(group)[-1]
        if not group:
            del self._groups[affinity]
        self._current = affinity
        self._used.add(affinity)
        return node_id

    def _choose(self, has_room: Callable[..., bool], awaited: Callable[[], Awaited]) -> Affinity:
        choice = self._best(self._groups, has_room)
        if len(self._groups) == 1 or choice == self._current:
            return choice
        if choice in self._used and has_room(self._first(choice)):
            return choice  # most likely still in memory
        waits_for = awaited()
        timely = [model for model in self._groups if not self._is_premature(model, waits_for, has_room)]
        return self._best(timely or self._groups, has_room)

    def _best(self, models: Iterable[Affinity], has_room: Callable[..., bool]) -> Affinity:
        roomy = [model for model in models if has_room(self._first(model))]
        if roomy:
            return max(roomy, key=lambda model: (self._groups[model][0][0], model == self._current))
        if self._current in models:
            return self._current
        return min(models, key=lambda model: self._groups[model][0])

    def _is_premature(self, model: Affinity, awaited: Awaited, has_room: Callable[..., bool]) -> bool:
        """Whether the model would be evicted and loaded again for work that another model has yet to make."""
        others = [other for other in awaited.get(model, ()) if other != model and other in self._groups]
        return bool(others) and not has_room(self._first(model), *map(self._first, others))

    def _first(self, model: Affinity) -> str:
        return self._groups[model][0][2]
