"""A cache in front of another: this process's memory before the disk."""

from __future__ import annotations

import math
from collections.abc import Iterable

from run_graph.graph.node import Node, Outputs
from run_graph.runtime.cache.protocol import ResultCache
from run_graph.runtime.cache.snapshots import Snapshot


class TieredCache:
    """Looks near, then far, and leaves results in both (a :class:`runtime.cache.ResultCache`)."""

    def __init__(self, near: ResultCache, far: ResultCache) -> None:
        self.near = near
        self.far = far

    def get(self, key: str, kind: type[Outputs] | None = None) -> Outputs | None:
        outputs = self.near.get(key, kind)
        if outputs is None:
            outputs = self.far.get(key, kind)
            if outputs is not None:
                self.near.put(key, outputs)
        return outputs

    def put(
        self,
        key: str,
        outputs: Outputs,
        input_digest: str | None = None,
        seconds: float = math.inf,
        node_class: type[Node] = Node,
    ) -> None:
        self.near.put(key, outputs, input_digest, seconds, node_class)
        self.far.put(key, outputs, input_digest, seconds, node_class)

    def run_completed(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.near.run_completed(keys)
        self.far.run_completed(keys)

    def snapshot(self, input_digest: str) -> Snapshot:
        return self.far.snapshot(input_digest)
