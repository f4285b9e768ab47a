"""What a result cache is, and the one that holds results in this process."""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from run_graph.graph.node import Node, Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.runtime.cache.snapshots import NoSnapshot, Snapshot

DEFAULT_BYTES = 2 * 2**30
# About what a result's objects and its place in the cache cost, whatever its values.
_OVERHEAD = 800


class _Held:
    """A result, its size in bytes, and the names under which it can be had."""

    __slots__ = ("names", "outputs", "size", "used")

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.size = size_of(outputs)
        self.names: list[str] = []
        self.used = False  # since it was put, or last passed over for letting go


class MemoryCache:
    """The most recently used results, as long as they fit in ``maximum_bytes``.

    The first to go are those put longest ago. One that was used meanwhile is passed over, once ("second
    chance"), which takes a lookup no lock and no reordering.

    Results are immutable, so they are handed out as they are. Safe to share between threads.
    """

    def __init__(self, maximum_bytes: int = DEFAULT_BYTES) -> None:
        self.maximum_bytes = maximum_bytes
        self._names: dict[str, _Held] = {}
        self._results: OrderedDict[int, _Held] = OrderedDict()  # by identity; the next to go first
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

    def put(
        self,
        key: str,
        outputs: Outputs,
        input_digest: str | None = None,
        seconds: float = math.inf,
        node_class: type[Node] = Node,
    ) -> None:
        identity = id(outputs)
        with self._lock:
            held = self._results.get(identity)
            if held is not None:
                held.used = True
            else:
                held = _Held(outputs)
                if held.size > self.maximum_bytes:  # it would drive everything out and then go itself
                    self._unname(key)
                    return
                self._results[identity] = held
                self._bytes += held.size
            self._name(key, held)
            if input_digest is not None:
                self._name(input_digest, held)
            while self._bytes > self.maximum_bytes:
                self._make_room()

    def run_completed(self, keys: Iterable[str]) -> None:
        """Nothing: within a process a file that was written and still stands is not written again."""

    def snapshot(self, input_digest: str) -> Snapshot:
        return NoSnapshot()

    def clear(self) -> None:
        """Let go of all results."""
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
        """Free a name; a result without any cannot be had any more and goes."""
        held = self._names.pop(name, None)
        if held is not None:
            held.names.remove(name)
            if not held.names:
                self._let_go(held)

    def _make_room(self) -> None:
        identity, held = next(iter(self._results.items()))
        if held.used:
            held.used = False
            self._results.move_to_end(identity)
        else:
            self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        del self._results[id(held.outputs)]
        self._bytes -= held.size
        for name in held.names:
            del self._names[name]


def size_of(outputs: Outputs) -> int:
    """Bytes that a result holds on to, with the objects that carry it."""
    size = _OVERHEAD
    for value in outputs.__dict__.values():
        size += value.nbytes if isinstance(value, SocketValue) else sys.getsizeof(value)
    return size
