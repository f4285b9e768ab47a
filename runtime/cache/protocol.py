"""What a result cache is, and the one that keeps nothing.

A new back end implements the four methods of :class:`ResultCache` and is handed to a session
(``Session(cache=...)``). The tests in tests/runtime/cache/test_conformance.py say what is expected of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from run_graph.graph.node import Node, Outputs
from run_graph.runtime.cache.snapshots import NoSnapshot, Snapshot


@dataclass(slots=True)
class Entry:
    """A result, and what a cache needs to know to decide whether and where to keep it. Must not be changed.

    (Nothing enforces that: a frozen one takes four times as long to make, and each node makes one.)

    Attributes
    ----------
    key : str
    outputs : Outputs
    input_digest : str or None
        The result's second name (see :mod:`runtime.cache`).
    seconds : float
        How long it took to compute: quick results are not worth writing to disk.
    node_class : type of Node
        The class that computed it: results of some classes are not worth writing to disk
        (``Node.persistent``), or only until their run is complete (``Node.is_output``).
    """

    key: str
    outputs: Outputs
    input_digest: str | None = None
    seconds: float = math.inf
    node_class: type[Node] = Node


class ResultCache(Protocol):
    """Where an executor looks for results and leaves them."""

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        """The result with this key or input digest, or None if the cache does not have it.

        ``kind`` is the class of the result. A cache that stores results as files needs it to rebuild them,
        and returns None without it.
        """
        ...

    def put(self, entry: Entry) -> None:
        """Keep a result, perhaps evicting others. A cache need not keep it."""
        ...

    def run_completed(self, keys: Iterable[str]) -> None:
        """A run is complete, and these were the keys of its output nodes.

        Until then their results are kept like all others, so that a run that was interrupted can resume
        without writing its files again. The next run of the same workflow should write them again.
        """
        ...

    def snapshot(self, input_digest: str) -> Snapshot:
        """The resume state of the node with this input digest (or, for a node without links, key)."""
        ...


class NoCache:
    """Keeps nothing: each value is freed after its last reader."""

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        return None

    def put(self, entry: Entry) -> None:
        return None

    def run_completed(self, keys: Iterable[str]) -> None:
        return None

    def snapshot(self, input_digest: str) -> Snapshot:
        return NoSnapshot()
