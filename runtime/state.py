"""The bookkeeping of a run: who waits for whom, what is ready, which values may still be read.

``demanded``
    nodes whose result somebody asked for;
``waiting``
    demanded nodes, and which of their sources have no value yet;
``ready``
    demanded nodes whose sources all have values, ordered by :mod:`runtime.policy`;
``values``
    results that somebody may still read;
``readers``
    for each node, how many links may still read it;
``settled``
    nodes that will not run (again): computed, found, or no longer wanted.

Demand goes from the targets upwards, so that nothing above a result that is already known is touched. A
lazy input is demanded only when its reader asks. A node that settles gives up its inputs; a source that
has lost its last reader is freed or, if it never ran, settles too. All walks are loops: a chain may have
any length.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from graph.declaration import output_table
from graph.links import Link
from graph.node import Node, Outputs
from graph.sockets import SocketValue
from graph.workflow import own_copy
from runtime.plan import Plan
from runtime.policy import Affinity, ReadyNodes

Lookup = Callable[[str], Outputs | None]
HasRoom = Callable[[Iterable[Any]], bool]


class RunState:
    """See the module's text.

    ``lookup`` finds the result of an earlier run by its key, or None. ``has_room`` tells whether a node
    with these input values can compute without a model having to leave memory.
    """

    def __init__(self, plan: Plan, lookup: Lookup, has_room: HasRoom = lambda values: False) -> None:
        self.plan = plan
        self.lookup = lookup
        self.has_room = has_room
        self.demanded: set[str] = set()
        self.waiting: dict[str, set[str]] = {}
        self.ready = ReadyNodes()
        self.values: dict[str, Outputs] = {}
        self.settled: set[str] = set()
        self.targets = {plan.twin[target] for target in plan.targets}
        self.position = {node_id: index for index, node_id in enumerate(plan.nodes)}
        self.links = plan.links
        self.readers = Counter([link.node_id for links in self.links.values() for link in links.all.values()])
        self._inputs: dict[str, dict[str, Any]] = {}  # of the ready nodes
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)

    def demand(self, ids: Iterable[str]) -> dict[str, Outputs]:
        """See to it that these nodes, and what they need, become ready. Returns what lookup found."""
        found: dict[str, Outputs] = {}
        pending = list(ids)
        while pending:
            node_id = pending.pop()
            if node_id in self.demanded:
                continue
            self.demanded.add(node_id)
            held = self.lookup(self.plan.keys[node_id])
            if held is None:
                pending.extend(self._block(node_id, self.links[node_id].eager))
            else:
                self.values[node_id] = found[node_id] = held
        if self.waiting or self.ready:  # otherwise the run is over, and nobody will read anything
            for node_id in found:
                self._settle(node_id)
        return found

    def demand_lazy(self, node_id: str, names: Iterable[str]) -> dict[str, Outputs]:
        """Let a node that was ready wait for some of its lazy inputs. Returns what lookup found."""
        links = {name: self.links[node_id].lazy[name] for name in names}
        return self.demand(self._block(node_id, links))

    def next_ready(self) -> tuple[str, dict[str, Any]]:
        """Take the node that runs next, with the values of its links as far as they are known."""
        node_id = self.ready.pop(self._has_room_for, self._awaited)
        return node_id, self._inputs.pop(node_id)

    def _has_room_for(self, *node_ids: str) -> bool:
        return self.has_room([value for node_id in node_ids for value in self._inputs[node_id].values()])

    def _awaited(self) -> dict[Affinity, set[Affinity]]:
        """See :meth:`runtime.policy.ReadyNodes.pop`."""
        ready = self.ready.models()
        awaited: defaultdict[Affinity, set[Affinity]] = defaultdict(set)
        origins: dict[str, set[Affinity]] = {}
        for node_id in sorted(self.waiting, key=self.position.__getitem__):
            found: set[Affinity] = set()
            for source in self.waiting[node_id]:
                found |= {ready[source]} if source in ready else origins.get(source, set())
            origins[node_id] = found
            awaited[self._models(node_id, self._known_inputs(node_id))] |= found
        return awaited

    def pending_values(self) -> Iterator[Any]:
        """The values, as far as they are known, that demanded nodes without a result will read."""
        for node_id in self.demanded - self.settled:
            links = self.links[node_id].all.values()
            yield from (self._value(link) for link in links if link.node_id in self.values)

    def finish(self, node_id: str, outputs: Outputs) -> None:
        """Take a node's result, wake those that wait for it, free what nobody reads any more."""
        self.values[node_id] = outputs
        self._settle(node_id)

    def _block(self, node_id: str, links: dict[str, Link]) -> list[str]:
        """Let a node wait for links without values; ready at once if there are none."""
        missing = {link.node_id for link in links.values() if link.node_id not in self.values}
        for source in missing:
            self._dependents[source].append(node_id)
        if missing:
            self.waiting[node_id] = missing
        else:
            self._make_ready(node_id)
        return sorted(missing, key=self.position.__getitem__) if len(missing) > 1 else list(missing)

    def _make_ready(self, node_id: str) -> None:
        self._inputs[node_id] = inputs = self._known_inputs(node_id)
        models = self._models(node_id, inputs)
        self.ready.add(node_id, models, self.plan.depth[node_id], self.position[node_id])

    def _known_inputs(self, node_id: str) -> dict[str, Any]:
        known = self.values
        return {
            name: self._value(link) for name, link in self.links[node_id].all.items() if link.node_id in known
        }

    def _models(self, node_id: str, inputs: Mapping[str, Any]) -> Affinity:
        """The models that a node with these inputs computes with."""
        return None if self.plan.nodes[node_id].passes_models_on else _affinity(inputs)

    def _settle(self, node_id: str) -> None:
        self.settled.add(node_id)
        for dependent in self._dependents.pop(node_id, ()):
            missing = self.waiting[dependent]
            missing.discard(node_id)
            if not missing:
                del self.waiting[dependent]
                self._make_ready(dependent)
        self._give_up_inputs(node_id)

    def _give_up_inputs(self, node_id: str) -> None:
        pending = [node_id]
        while pending:
            for link in self.links[pending.pop()].all.values():
                source = link.node_id
                self.readers[source] -= 1
                if self.readers[source] or source in self.targets:
                    continue
                if source in self.values:
                    del self.values[source]
                elif source not in self.demanded:  # only an untaken branch read it
                    self.settled.add(source)
                    pending.append(source)

    def _value(self, link: Link) -> Any:
        name = _output_name(type(self.plan.nodes[link.node_id]), link.slot)
        value = self.values[link.node_id].__dict__[name]
        # What a node does to a list or an object must not reach the cache.
        return own_copy(value) if isinstance(value, (list, dict)) else value


@cache
def _output_name(node_class: type[Node], slot: int | str) -> str:
    return output_table(node_class)[slot].name


def _affinity(inputs: Mapping[str, Any]) -> Affinity:
    models = [value.affinity for value in inputs.values() if isinstance(value, SocketValue)]
    return tuple([model for model in models if model is not None]) or None if models else None
