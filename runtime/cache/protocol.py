"""What a result cache is, and the one that holds nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

from run_graph.graph.node import Node, Outputs
from run_graph.runtime.cache.snapshots import NoSnapshot, Snapshot


class ResultCache(Protocol):
    """Where an executor looks for results and leaves them."""

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        """The result with this key or content, if it is held.

        ``kind`` is the class of the result. A cache that writes results down needs it to build them
        again, and finds nothing without.
        """
        ...

    def put(
        self,
        key: str,
        outputs: Outputs,
        input_digest: str | None = None,
        seconds: float = math.inf,
        node_class: type[Node] = Node,
    ) -> None:
        """Hold a result, perhaps letting go of others.

        Parameters
        ----------
        key : str
        outputs : Outputs
        input_digest : str, optional
            Its other name (see :mod:`runtime.cache`).
        seconds : float
            What computing it took: not everything is worth writing down.
        node_class : type of Node
            Whose result it is: those of some classes are not worth writing down, or not for long.
        """
        ...

    def run_completed(self, keys: Iterable[str]) -> None:
        """A run is complete, and its output nodes had these keys.

        Until then their results are kept like all others, so that a run that was broken off goes on
        without writing its files again. The next run of the same workflow shall write them again.
        """
        ...

    def snapshot(self, input_digest: str) -> Snapshot:
        """Where the node with this content (or, without links, key) keeps work that may be broken off."""
        ...


class NoCache:
    """Holds nothing: each value can go at its last reader."""

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        return None

    def put(
        self,
        key: str,
        outputs: Outputs,
        input_digest: str | None = None,
        seconds: float = math.inf,
        node_class: type[Node] = Node,
    ) -> None:
        return None

    def run_completed(self, keys: Iterable[str]) -> None:
        return None

    def snapshot(self, input_digest: str) -> Snapshot:
        return NoSnapshot()
