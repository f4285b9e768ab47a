"""A cache in front of another: this process's memory before the disk."""

from __future__ import annotations

import math
from collections.abc import Iterable

from graph.node import Node, Outputs
from runtime.cache.halves import Half
from runtime.cache.memory import ResultCache


class LayeredCache:
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
        content: str | None = None,
        seconds: float = math.inf,
        node_class: type[Node] = Node,
    ) -> None:
        self.near.put(key, outputs, content, seconds, node_class)
        self.far.put(key, outputs, content, seconds, node_class)

    def settle(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.near.settle(keys)
        self.far.settle(keys)

    def half(self, content: str) -> Half:
        return self.far.half(content)
