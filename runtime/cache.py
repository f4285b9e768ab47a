"""Results of earlier runs in this process, by key, up to a number of bytes."""

from __future__ import annotations

import sys
from collections import OrderedDict
from threading import Lock
from typing import Protocol

from graph.node import Outputs
from graph.sockets import SocketValue

DEFAULT_BYTES = 2 * 2**30
# About what a result's objects and its place in the cache cost, whatever its values.
_OVERHEAD = 800


class ResultCache(Protocol):
    """Where an executor looks for results and leaves them."""

    def get(self, key: str) -> Outputs | None:
        """The result with this key, if it is held."""
        ...

    def put(self, key: str, outputs: Outputs) -> None:
        """Hold a result, perhaps letting go of others."""
        ...


class NoCache:
    """Holds nothing: for single runs, where each value can go at its last reader."""

    def get(self, key: str) -> Outputs | None:
        return None

    def put(self, key: str, outputs: Outputs) -> None:
        return None


class MemoryCache:
    """The most recently used results, as long as they fit in ``maximum_bytes``.

    Results are immutable, so they are handed out as they are. Safe to share between threads.
    """

    def __init__(self, maximum_bytes: int = DEFAULT_BYTES) -> None:
        self.maximum_bytes = maximum_bytes
        self._results: OrderedDict[str, tuple[Outputs, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._results)

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def get(self, key: str) -> Outputs | None:
        with self._lock:
            held = self._results.get(key)
            if held is None:
                return None
            self._results.move_to_end(key)
            return held[0]

    def put(self, key: str, outputs: Outputs) -> None:
        size = size_of(outputs)
        with self._lock:
            if key in self._results:
                self._bytes -= self._results.pop(key)[1]
            if size > self.maximum_bytes:  # it would drive everything out and then go itself
                return
            self._results[key] = (outputs, size)
            self._bytes += size
            while self._bytes > self.maximum_bytes:
                _, (_, freed) = self._results.popitem(last=False)
                self._bytes -= freed

    def clear(self) -> None:
        """Let go of all results."""
        with self._lock:
            self._results.clear()
            self._bytes = 0


def size_of(outputs: Outputs) -> int:
    """Bytes that a result holds on to, with the objects that carry it."""
    size = _OVERHEAD
    for value in outputs.__dict__.values():
        size += value.nbytes if isinstance(value, SocketValue) else sys.getsizeof(value)
    return size
