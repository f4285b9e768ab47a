"""A modelled cluster: the real placement policy decides, everything that takes time is simulated.

Three things serve one after another and may become the limit: the client (which packs tasks, heeds results
and sends all values over its link), dask's scheduler, and the client's second thread, which compresses
pictures. Workers load components as :class:`runtime.models.store.ModelStore` does: the least recently used
leave first.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from run_graph.runtime.cluster.placement import Place, Placement

GB, MB = 10**9, 10**6


@dataclass(frozen=True)
class Kind:
    """A kind of step: the components that it computes with, its seconds, and the bytes of its values."""

    name: str
    depth: int
    components: tuple[str, ...]
    seconds: float
    sent: float
    returned: float


@dataclass(frozen=True)
class Costs:
    """Seconds that serving takes.

    Attributes
    ----------
    dispatch, result : float
        Of the client's processor, for each task.
    scheduler : float
        Of dask's scheduler, for each task.
    save : float
        For each picture that the client compresses and writes.
    link : float
        Bytes a second between the client and the cluster.
    disk : float
        Bytes a second at which a worker reads weights.
    """

    dispatch: float
    result: float
    scheduler: float
    save: float
    link: float = 1.0 * GB
    disk: float = 3.0 * GB


class Server:
    """Something that does one thing after another."""

    def __init__(self) -> None:
        self.free = 0.0
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When something that arrives now is done."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


@dataclass
class Worker:
    """A machine with some memory for weights."""

    limit: float
    resident: OrderedDict[str, float] = field(default_factory=OrderedDict)
    loads: Counter[str] = field(default_factory=Counter)
    free: float = 0.0
    computed: float = 0.0
    waited: list[float] = field(default_factory=list)

    def load(self, components: tuple[str, ...], sizes: Mapping[str, float]) -> float:
        """Make components resident; returns the bytes that were read."""
        read = 0.0
        for name in components:
            if name not in self.resident:
                while self.resident and sum(self.resident.values()) + sizes[name] > self.limit:
                    self.resident.popitem(last=False)
                self.resident[name] = sizes[name]
                self.loads[name] += 1
                read += sizes[name]
            self.resident.move_to_end(name)
        return read


@dataclass(frozen=True)
class Outcome:
    """What a simulated sweep came to; shares are of its length.

    Attributes
    ----------
    seconds : float
    efficiency : float
        The share of all workers' time in which they computed.
    loads : Counter
        How often each component was read, on all workers together.
    most_loads : int
        How often a worker read one component at most.
    waited : float
        Mean seconds that a worker had nothing to do between two steps, once it had begun.
    client, scheduler, saving : float
        Their busy shares.
    policy : float
        Real seconds that the policy took for each step, measured.
    """

    seconds: float
    efficiency: float
    loads: Counter[str]
    most_loads: int
    waited: float
    client: float
    scheduler: float
    saving: float
    policy: float


class Simulation:
    """A sweep of ``pictures`` with ``prompts`` different prompts on ``workers`` equal machines."""

    def __init__(
        self, workers: int, memory: float, kinds: Mapping[str, Kind], sizes: Mapping[str, float], costs: Costs
    ) -> None:
        self.kinds, self.sizes, self.costs = kinds, sizes, costs
        self.workers = {f"w{number}": Worker(memory) for number in range(workers)}
        self.placement = Placement()
        for name in self.workers:
            self.placement.join(name, int(memory), {})
        self.client, self.scheduler, self.saver = Server(), Server(), Server()
        self.chance = random.Random(0)
        self.policy_seconds = 0.0
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._positions = itertools.count()

    def run(self, pictures: int, prompts: int) -> Outcome:
        """Simulate the sweep."""
        each = pictures // prompts
        self._need("encode", prompts)
        self._need("sample", pictures)
        self._need("decode", pictures)
        for prompt in range(prompts):
            self._add("encode", f"e{prompt}:{each}")
        self._place(0.0)
        end = 0.0
        while self._events:
            end, _, happen = heapq.heappop(self._events)
            happen(end)
        end = max(end, self.saver.free)
        return self._outcome(end, steps=prompts + 2 * pictures)

    def _need(self, kind: str, count: int) -> None:
        for component in self.kinds[kind].components:
            self.placement.needed[component] += count

    def _add(self, kind: str, node_id: str) -> None:
        step = self.kinds[kind]
        place = Place(step.depth, next(self._positions), node_id, kind)
        self.placement.add(place, {name: int(self.sizes[name]) for name in step.components})

    def _place(self, now: float) -> None:
        started = time.perf_counter()
        chosen = list(self.placement.assignments())
        self.policy_seconds += time.perf_counter() - started
        for worker, node_id in chosen:
            step = self._kind(node_id)
            sent = self.client.serve(now, self.costs.dispatch + step.sent / self.costs.link)
            arrived = self.scheduler.serve(sent, self.costs.scheduler)
            self._at(arrived, lambda now, worker=worker, node_id=node_id: self._begin(now, worker, node_id))  # type: ignore[misc]

    def _begin(self, now: float, name: str, node_id: str) -> None:
        worker, step = self.workers[name], self._kind(node_id)
        begins = max(now, worker.free)
        if worker.computed:
            worker.waited.append(begins - worker.free)
        read = worker.load(step.components, self.sizes)
        seconds = step.seconds * self.chance.uniform(0.95, 1.05)
        worker.free = begins + read / self.costs.disk + seconds
        worker.computed += seconds
        took = worker.free - begins
        resident = {component: int(size) for component, size in worker.resident.items()}
        self._at(worker.free, lambda now: self._arrive(now, name, node_id, resident, took))

    def _arrive(
        self, now: float, name: str, node_id: str, resident: Mapping[str, int], seconds: float
    ) -> None:
        step = self._kind(node_id)
        relayed = self.scheduler.serve(now, self.costs.scheduler)
        heeded = self.client.serve(relayed, self.costs.result + step.returned / self.costs.link)
        self._at(heeded, lambda now: self._ended(now, name, node_id, resident, seconds))

    def _ended(
        self, now: float, name: str, node_id: str, resident: Mapping[str, int], seconds: float
    ) -> None:
        for component in self._kind(node_id).components:
            self.placement.needed[component] -= 1
        self.placement.ended(name, node_id, resident, seconds)
        if node_id[0] == "e":
            prompt, _, count = node_id[1:].partition(":")
            for number in range(int(count)):
                self._add("sample", f"s{prompt}:{number}")
        elif node_id[0] == "s":
            self._add("decode", f"d{node_id[1:]}")
        else:
            self.saver.serve(now, self.costs.save)
        self._place(now)

    def _kind(self, node_id: str) -> Kind:
        return self.kinds[{"e": "encode", "s": "sample", "d": "decode"}[node_id[0]]]

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _outcome(self, end: float, steps: int) -> Outcome:
        workers = self.workers.values()
        loads: Counter[str] = sum((worker.loads for worker in workers), Counter())
        waits = [wait for worker in workers for wait in worker.waited]
        return Outcome(
            seconds=end,
            efficiency=sum(worker.computed for worker in workers) / (len(workers) * end),
            loads=loads,
            most_loads=max(max(worker.loads.values(), default=0) for worker in workers),
            waited=sum(waits) / len(waits) if waits else 0.0,
            client=self.client.busy / end,
            scheduler=self.scheduler.busy / end,
            saving=self.saver.busy / end,
            policy=self.policy_seconds / steps,
        )
