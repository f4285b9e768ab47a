"""Resume states on the way: on a worker they come from the client and go to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from run_graph.graph.node import Outputs
from run_graph.runtime.cache import Entry, NoCache, ResultCache
from run_graph.runtime.cache.snapshots import NoSnapshot, Snapshot

# Packing and sending a state takes at most this share of a node's time.
_SHARE = 0.02


class ShippedState:
    """A worker's view of one node's resume state (a :class:`runtime.cache.snapshots.Snapshot`).

    Parameters
    ----------
    state : mapping or None
        What the client has.
    send : callable
        Sends a newer one to the client.
    """

    carried = 0.0

    def __init__(self, state: Mapping[str, Any] | None, send: Callable[[Mapping[str, Any]], None]) -> None:
        self._state = state
        self._send = send
        self._next_save = 0.0

    def load(self) -> dict[str, Any] | None:
        return None if self._state is None else dict(self._state)

    def save(self, items: Mapping[str, Any], *, now: bool = False) -> bool:
        started = time.perf_counter()
        if started < self._next_save and not now:
            return False
        self._send(items)
        ended = time.perf_counter()
        self._next_save = ended + (ended - started) / _SHARE
        return True

    def drop(self) -> None:
        return None


class ShippedStateOnly(NoCache):
    """A cache for one task, which has nothing but its resume state (a `ResultCache`)."""

    def __init__(self, state: ShippedState) -> None:
        self._state = state

    def snapshot(self, input_digest: str) -> Snapshot:
        return self._state


class NewestStates:
    """A cache whose resume states are also remembered here, for a node that has to begin again.

    The newest state survives even where the cache keeps none, or not each (a `ResultCache`).
    """

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        return self._cache.get(key, kind)

    def put(self, entry: Entry) -> None:
        self._cache.put(entry)

    def run_completed(self, keys: Iterable[str]) -> None:
        self._cache.run_completed(keys)

    def snapshot(self, input_digest: str) -> Snapshot:
        return _NewestState(self._cache.snapshot(input_digest))


class _NewestState:
    def __init__(self, kept: Snapshot) -> None:
        self._kept = kept
        self._newest: dict[str, Any] | None = None

    @property
    def carried(self) -> float:
        return self._kept.carried

    @carried.setter
    def carried(self, seconds: float) -> None:
        self._kept.carried = seconds

    def load(self) -> dict[str, Any] | None:
        if self._newest is None:
            self._newest = self._kept.load()
        return None if self._newest is None else dict(self._newest)

    def save(self, items: Mapping[str, Any], *, now: bool = False) -> bool:
        self._newest = dict(items)
        # Without a cache the state is kept for as long as this run lives.
        return self._kept.save(items, now=now) or isinstance(self._kept, NoSnapshot)

    def drop(self) -> None:
        self._kept.drop()
