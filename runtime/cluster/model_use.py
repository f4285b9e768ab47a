"""Which models the steps of a plan still need, as far as their loaders have run."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from run_graph.graph.declaration import outputs_of
from run_graph.graph.node import Outputs
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.models.component_key import ComponentKey, needed_by


class ModelUse:
    """Counts, for each model, the steps without a result that compute with it.

    Attributes
    ----------
    needed : Counter
        By model, without its LoRAs.
    """

    def __init__(self, plan: Plan, needed: Counter[Any]) -> None:
        self.needed = needed
        self._by_step: defaultdict[str, set[ComponentKey]] = defaultdict(set)
        self._ended: set[str] = set()
        self._readers: defaultdict[str, list[tuple[Step, int]]] = defaultdict(list)
        for step in plan.by_key.values():
            if not (step.node.is_output or step.node.forwards_models):
                for link in step.links.values():
                    self._readers[link.node_id].append((step, int(link.slot)))

    def ended(self, step: Step, outputs: Outputs) -> None:
        """A step has a result: it needs its models no more, and its readers need those that it returns."""
        self._ended.add(step.node_id)
        self.needed.subtract(self._by_step.pop(step.node_id, ()))
        readers = self._readers.get(step.node_id)
        if not readers:
            return
        names = [each.name for each in outputs_of(type(step.node))]
        returned = [
            {key.base for key in needed_by([outputs.__dict__.get(name)]) if not key.loras} for name in names
        ]
        if any(returned):
            for reader, slot in readers:
                self._need(reader, returned[slot])

    def _need(self, step: Step, models: set[ComponentKey]) -> None:
        if step.node_id not in self._ended:
            new = models - self._by_step[step.node_id]
            self._by_step[step.node_id] |= new
            self.needed.update(new)
