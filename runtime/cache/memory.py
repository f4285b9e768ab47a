"""Results in this process's memory."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from run_graph.graph.node import Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.runtime.cache.protocol import Entry
from run_graph.runtime.cache.snapshots import NoSnapshot, Snapshot

DEFAULT_BYTES = 2 * 2**30
# Roughly what a result's objects and its place in the cache cost, apart from its values.
_OVERHEAD = 800


class _Held:
    """A result, its size in bytes, and the names under which it can be found."""

    __slots__ = ("names", "outputs", "size", "used")

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.size = size_of(outputs)
        self.names: list[str] = []
        self.used = False  # since it was put, or last spared from eviction


class MemoryCache:
    """The most recently used results that fit in ``maximum_bytes``.

    The oldest results are evicted first. One that has been used since is spared once ("second chance"), so
    that a lookup needs no lock and no reordering.

    Results are immutable, so they are returned without copying. Safe to share between threads.
    """

    def __init__(self, maximum_bytes: int = DEFAULT_BYTES) -> None:
        self.maximum_bytes = maximum_bytes
        self._names: dict[str, _Held] = {}
        self._results: OrderedDict[int, _Held] = OrderedDict()  # by identity; the next to be evicted is first
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._results)

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        held = self._names.get(key)
        if held is None:
            return None
        held.used = True
        return held.outputs

    def put(self, entry: Entry) -> None:
        outputs = entry.outputs
        identity = id(outputs)
        with self._lock:
            held = self._results.get(identity)
            if held is not None:
                held.used = True
            else:
                held = _Held(outputs)
                if held.size > self.maximum_bytes:  # it would evict everything else, and then itself
                    self._unname(entry.key)
                    return
                self._results[identity] = held
                self._bytes += held.size
            for name in (entry.key, entry.input_digest):
                if name is not None:
                    self._name(name, held)
            while self._bytes > self.maximum_bytes:
                self._make_room()

    def run_completed(self, keys: Iterable[str]) -> None:
        """Does nothing: within a process a file that was written and still exists is not written again."""

    def snapshot(self, input_digest: str) -> Snapshot:
        return NoSnapshot()

    def clear(self) -> None:
        """Evict all results."""
        with self._lock:
            self._names.clear()
            self._results.clear()
            self._bytes = 0

    def _name(self, name: str, held: _Held) -> None:
        known = self._names.get(name)
        if known is not held:
            if known is not None:
                self._unname(name)
            self._names[name] = held
            held.names.append(name)

    def _unname(self, name: str) -> None:
        """Free a name, and evict a result that has no name left."""
        held = self._names.pop(name, None)
        if held is not None:
            held.names.remove(name)
            if not held.names:
                self._evict(held)

    def _make_room(self) -> None:
        identity, held = next(iter(self._results.items()))
        if held.used:
            held.used = False
            self._results.move_to_end(identity)
        else:
            self._evict(held)

    def _evict(self, held: _Held) -> None:
        del self._results[id(held.outputs)]
        self._bytes -= held.size
        for name in held.names:
            del self._names[name]


def size_of(outputs: Outputs) -> int:
    """Bytes that a result keeps in memory, including the objects around its values."""
    size = _OVERHEAD
    for value in outputs.__dict__.values():
        size += value.nbytes if isinstance(value, SocketValue) else sys.getsizeof(value)
    return size
