"""The bookkeeping of a run: who waits for whom, what is ready, which values may still be read.

``demanded``
    nodes whose result is needed;
``waiting``
    demanded nodes, and how many of their links have no value yet;
``ready``
    demanded nodes whose sources all have values, ordered by :mod:`runtime.engine.policy`;
``values``
    results that may still be read;
``readers``
    for each node, how many links may still read it.

Demand starts at the targets and goes upstream, so nothing above a known result is touched. A lazy input is
demanded only when its reader asks. A node that has a result releases its inputs; a source without readers is
freed or, if it was never demanded, releases its own inputs. All walks are loops: a chain may have any length.

Examples
--------
Three nodes, of which ``sum`` adds the values of ``one`` and ``more``, and ``more`` reads ``one``:

>>> state = RunState(plan, lookup=lambda key, node: None)
>>> state.demand(["sum"])  # nothing was found in a cache
{}
>>> sorted(state.demanded)
['more', 'one', 'sum']
>>> state.waiting, state.ready.models()  # no node has a model
({'sum': 2, 'more': 1}, {'one': None})
>>> state.readers
{'one': 2, 'more': 1}

When ``one`` has finished, ``more`` can run. The value of ``one`` stays, since ``sum`` has yet to read it:

>>> step, inputs = state.next_ready()
>>> state.finish(step, Integer(value=1))
>>> state.waiting, state.ready.models()
({'sum': 1}, {'more': None})
>>> state.values, state.readers
({'one': Integer(value=1)}, {'one': 2, 'more': 1})

When ``more`` has finished too, ``sum`` can run, and its own value is all that is left in the end:

>>> step, inputs = state.next_ready()
>>> step.node_id, inputs
('more', {'x': 1})
>>> state.finish(step, Integer(value=2))
>>> state.readers
{'one': 1, 'more': 1}
>>> step, inputs = state.next_ready()
>>> step.node_id, inputs
('sum', {'a': 1, 'b': 2})
>>> state.finish(step, Integer(value=3))
>>> state.values, state.readers
({'sum': Integer(value=3)}, {'one': 0, 'more': 0})
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from operator import attrgetter
from typing import Any

from run_graph.graph.declaration import value_inputs_of
from run_graph.graph.links import Link
from run_graph.graph.node import Node, Outputs
from run_graph.graph.sockets import SocketValue
from run_graph.runtime.engine.plan import Plan, Step
from run_graph.runtime.engine.policy import Affinity, ReadyNodes
from run_graph.runtime.engine.protocol import HasRoom

Lookup = Callable[[str, Node], Outputs | None]


class RunState:
    """The state of one run; the module's docstring explains its parts.

    Parameters
    ----------
    plan : Plan
    lookup : callable
        Finds the result of an earlier run by a node's key, or None.
    has_room : callable, optional
        See :data:`runtime.engine.protocol.HasRoom`. Default: memory holds one model at a time.
    """

    def __init__(self, plan: Plan, lookup: Lookup, has_room: HasRoom = lambda values: False) -> None:
        self.plan = plan
        self.lookup = lookup
        self.has_room = has_room
        self.steps = plan.steps
        self.demanded: set[str] = set()
        self.waiting: dict[str, int] = {}
        self.ready = ReadyNodes()
        self.values: dict[str, Outputs] = {}
        self.targets = dict.fromkeys([plan.steps[target].node_id for target in plan.targets])
        self._running: dict[str, dict[str, Any]] = {}  # the inputs of running nodes
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)
        self._asked: defaultdict[str, list[Link]] = defaultdict(list)  # lazy inputs that nodes asked for

    @cached_property
    def readers(self) -> dict[str, int]:  # not needed if everything is found
        sources = [link.node_id for step in self.plan.by_key.values() for link in step.links.values()]
        return dict(Counter(sources))

    def demand(self, ids: Iterable[str]) -> dict[str, Outputs]:
        """Demand these nodes and everything that they need. Returns the results that lookup found."""
        steps, demanded, lookup = self.steps, self.demanded, self.lookup
        found: dict[str, Outputs] = {}
        pending = list(ids)
        while pending:
            node_id = pending.pop()
            if node_id in demanded:
                continue
            demanded.add(node_id)
            step = steps[node_id]
            held = lookup(step.key, step.node)
            if held is None:
                pending += self._block(step, step.eager.values())
            else:
                self.values[node_id] = found[node_id] = held
        if self.waiting or self.ready:  # otherwise the run is over, and nothing will be read
            for node_id in found:
                self._wake_dependents(steps[node_id])
        return found

    def demand_lazy(self, node_id: str, names: Iterable[str]) -> dict[str, Outputs]:
        """Let a ready node wait for some of its lazy inputs. Returns the results that lookup found."""
        step = self.steps[node_id]
        links = [step.lazy[name] for name in names]
        self._asked[node_id] += links
        del self._running[node_id]
        return self.demand(self._block(step, links))

    def next_ready(self) -> tuple[Step, dict[str, Any]]:
        """Take the node that runs next, and the values of its links as far as they are known."""
        node_id = self.ready.pop(self._has_room_for, self._awaited)
        step = self.steps[node_id]
        self._running[node_id] = inputs = self._known_inputs(step)
        return step, inputs

    def _has_room_for(self, *node_ids: str) -> bool:
        inputs = [self._known_inputs(self.steps[node_id]) for node_id in node_ids]
        return self.has_room([value for known in inputs for value in known.values()])

    def _awaited(self) -> dict[Affinity, set[Affinity]]:
        """See :meth:`runtime.engine.policy.ReadyNodes.pop`."""
        ready = self.ready.models()
        awaited: defaultdict[Affinity, set[Affinity]] = defaultdict(set)
        origins: dict[str, set[Affinity]] = {}
        for step in sorted([self.steps[node_id] for node_id in self.waiting], key=_position):
            found: set[Affinity] = set()
            for link in (*step.eager.values(), *self._asked.get(step.node_id, ())):
                if (source := link.node_id) in ready:
                    found.add(ready[source])
                else:
                    found |= origins.get(source, set())
            origins[step.node_id] = found
            awaited[self._models(step)] |= found
        return awaited

    def pending_values(self) -> Iterator[Any]:
        """The known values that demanded nodes without a result will read."""
        for node_id in (*self.waiting, *self.ready.models()):
            yield from self._known_inputs(self.steps[node_id]).values()
        for inputs in self._running.values():
            yield from inputs.values()

    def finish(self, step: Step, outputs: Outputs) -> None:
        """Take a node's result, wake the nodes that wait for it, free what will not be read again."""
        self.values[step.node_id] = outputs
        del self._running[step.node_id]
        self._wake_dependents(step)

    def _block(self, step: Step, links: Iterable[Link]) -> list[str]:
        """Let a node wait for its links without values. Returns their sources, each once for each link.

        If there are none, it is ready.
        """
        missing = [link.node_id for link in links if link.node_id not in self.values]
        for source in missing:
            self._dependents[source].append(step.node_id)
        if missing:
            self.waiting[step.node_id] = len(missing)
        else:
            self._make_ready(step)
        return missing

    def _make_ready(self, step: Step) -> None:
        self.ready.add(step.node_id, self._models(step), step.depth, step.position)

    def _models(self, step: Step) -> Affinity:
        """The models that a node computes with, as far as its inputs are known."""
        takes_values = value_inputs_of(type(step.node))  # empty for nodes that compute with plain values
        if step.node.forwards_models or not takes_values:
            return None
        inputs = self._known_inputs(step)
        models: tuple[Hashable, ...] = ()
        for name in takes_values:
            value = inputs.get(name)
            if isinstance(value, SocketValue) and (model := value.affinity) is not None:
                models += (model,)
        return models or None

    def _known_inputs(self, step: Step) -> dict[str, Any]:
        """The linked inputs whose values are known, and the values themselves, uncopied."""
        known: dict[str, Any] = {}
        values = self.values
        for name, link in step.links.items():
            outputs = values.get(link.node_id)
            if outputs is not None:
                known[name] = outputs.__dict__[_output_names(type(outputs))[link.slot]]
        return known

    def _wake_dependents(self, step: Step) -> None:
        for dependent in self._dependents.pop(step.node_id, ()):
            missing = self.waiting[dependent] = self.waiting[dependent] - 1
            if not missing:
                del self.waiting[dependent]
                self._make_ready(self.steps[dependent])
        self._release_inputs(step)

    def _release_inputs(self, step: Step) -> None:
        releasing, readers, values = [step], self.readers, self.values
        for reader in releasing:  # grows while it is walked
            for link in reader.links.values():
                source = link.node_id
                left = readers[source] = readers[source] - 1
                if left or source in self.targets:
                    continue
                if source in values:
                    del values[source]
                elif source not in self.demanded:  # only an untaken branch read it
                    releasing.append(self.steps[source])


_position = attrgetter("position")


@cache
def _output_names(outputs_class: type[Outputs]) -> Mapping[int | str, str]:
    """The names of outputs by slot."""
    return dict(enumerate(outputs_class.model_fields))
