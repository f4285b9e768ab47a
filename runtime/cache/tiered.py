"""One cache in front of another: this process's memory before the disk."""

from __future__ import annotations

from collections.abc import Iterable

from run_graph.graph.node import Outputs
from run_graph.runtime.cache.protocol import Entry, ResultCache
from run_graph.runtime.cache.snapshots import Snapshot


class TieredCache:
    """Looks in the near cache first, and puts results in both (a :class:`runtime.cache.ResultCache`)."""

    def __init__(self, near: ResultCache, far: ResultCache) -> None:
        self.near = near
        self.far = far

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        outputs = self.near.get(key, kind)
        if outputs is None:
            outputs = self.far.get(key, kind)
            if outputs is not None:
                self.near.put(Entry(key, outputs))
        return outputs

    def put(self, entry: Entry) -> None:
        self.near.put(entry)
        self.far.put(entry)

    def run_completed(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.near.run_completed(keys)
        self.far.run_completed(keys)

    def snapshot(self, input_digest: str) -> Snapshot:
        return self.far.snapshot(input_digest)
