"""Which worker runs which step: the policy, apart from dask and from time.

Each ready step computes with some models. A worker that is free takes, in this order:

1. a step whose models it holds, or has room for beside those that it holds; of these, the steps nearest to
   the graph's end, so that one picture is finished before the next begins;
2. a step for which it has to give up models that no later step needs;
3. a step for which it has to give up others, if no worker holds the step's models.

A model is loaded on one more worker only if that pays: if the steps that wait for it would take longer on the
workers that hold it than it takes to load. How long steps take is learned from those that have ended, by
their class; how long a model takes to load is estimated from its size. A worker so loads a model at most once
unless its memory is too small for all that it does.

The same code decides in :mod:`runtime.cluster.executor` and, with modelled workers, in benchmarks.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Model = Any  # can be hashed
Models = frozenset[Model]

LOADING = 1e9  # bytes a second: how fast weights are taken to be read
SHORT = 0.25  # seconds: of steps that take less, a worker is given a second one before the first has ended


@dataclass(frozen=True, order=True)
class Place:
    """Where a step is in the graph; the least goes first within a group."""

    depth: int
    position: int
    node_id: str = field(compare=False)
    kind: str = field(compare=False, default="")


@dataclass
class Seat:
    """What the policy knows of a worker.

    Attributes
    ----------
    limit : int
        Its memory for weights in bytes.
    resident : dict
        The models in its memory, or on their way there, and their sizes in bytes.
    running : dict
        The steps that it was given, with their models, in order.
    latest : Models
        The models that its latest step computes with.
    """

    limit: int
    resident: dict[Model, int] = field(default_factory=dict)
    running: dict[str, tuple[Place, Models]] = field(default_factory=dict)
    latest: Models = frozenset()

    def holds(self, models: Models) -> bool:
        """Whether nothing has to be loaded for them."""
        return models <= self.resident.keys()


class Placement:
    """The ready steps of a run, and the workers that can take them."""

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.needed: Counter[Model] = Counter()
        """How many steps that have not ended will compute with each model."""
        self._groups: dict[Models, list[Place]] = {}
        self._sizes: dict[Model, int] = {}
        self._seconds: dict[str, float] = {}
        self._holders: dict[Models, list[Seat]] = {}  # as long as nothing changes

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def join(self, worker: str, limit: int, resident: Mapping[Model, int]) -> None:
        """A worker can take steps."""
        self._sizes |= resident
        self.seats[worker] = Seat(limit, dict(resident))
        self._holders.clear()

    def leave(self, worker: str) -> list[str]:
        """A worker is gone. Returns the steps that it was running."""
        self._holders.clear()
        return list(self.seats.pop(worker).running) if worker in self.seats else []

    def add(self, place: Place, models: Mapping[Model, int]) -> None:
        """A step is ready; ``models`` are those that it computes with, with their sizes as far as known."""
        for model, size in models.items():
            self._sizes[model] = max(size, self._sizes.get(model, 0))
        heapq.heappush(self._groups.setdefault(frozenset(models), []), place)

    def assignments(self) -> Iterator[tuple[str, str]]:
        """The workers that take a step now, and the steps' ids; each counts as given when it is yielded."""
        while self._groups:
            given = False
            for worker in self._by_load():
                if (models := self._choice(worker)) is not None:
                    yield worker, self._give(worker, models)
                    given = True
            if not given:
                return

    def ended(self, worker: str, node_id: str, resident: Mapping[Model, int], seconds: float | None) -> None:
        """A worker has ended a step, and holds these models now.

        ``seconds`` is how long it computed; None if it did not.
        """
        seat = self.seats.get(worker)
        if seat is None or node_id not in seat.running:
            return
        place, _ = seat.running.pop(node_id)
        self._holders.clear()
        self._sizes |= resident
        seat.resident = dict(resident)
        for _, models in seat.running.values():  # those that wait there load their models next
            seat.resident |= {model: self._size(model) for model in models}
        if seconds is not None:
            before = self._seconds.get(place.kind, seconds)
            self._seconds[place.kind] = 0.7 * before + 0.3 * seconds

    def _by_load(self) -> list[str]:
        """The workers that have room for a step, those with the fewest first."""
        free = [(len(seat.running), name) for name, seat in self.seats.items() if self._takes_more(seat)]
        return [name for _, name in sorted(free)]

    def _takes_more(self, seat: Seat) -> bool:
        if not seat.running:
            return True
        [(place, _), *more] = seat.running.values()
        return not more and self._seconds.get(place.kind, SHORT) < SHORT

    def _give(self, worker: str, models: Models) -> str:
        group, seat = self._groups[models], self.seats[worker]
        place = heapq.heappop(group)
        if not group:
            del self._groups[models]
        self._make_room(seat, models)
        seat.resident |= {model: self._size(model) for model in models}
        seat.running[place.node_id] = place, models
        seat.latest = models
        self._holders.clear()
        return place.node_id

    def _choice(self, worker: str) -> Models | None:
        """The group of steps from which a worker takes one, or None."""
        seat = self.seats[worker]
        paying = [models for models in self._groups if self._pays(seat, models)]
        roomy = [models for models in paying if self._fits(seat, models)]
        if roomy:
            return max(roomy, key=lambda models: self._rank(seat, models))
        if seat.running:
            return None  # what it would give up is in use
        spared = [models for models in paying if self._spares(seat, models)]
        return min(spared, key=lambda models: self._groups[models][0], default=None)

    def _rank(self, seat: Seat, models: Models) -> tuple[int, bool, bool, int]:
        place = self._groups[models][0]
        return place.depth, models == seat.latest, seat.holds(models), -place.position

    def _fits(self, seat: Seat, models: Models) -> bool:
        """Whether the models fit in memory beside those that are there."""
        missing = sum(self._size(model) for model in models - seat.resident.keys())
        return seat.holds(models) or missing + sum(seat.resident.values()) <= seat.limit

    def _pays(self, seat: Seat, models: Models) -> bool:
        """Whether a step had better begin here, where models may have to be loaded, than wait for others."""
        missing = models - seat.resident.keys()
        if not missing or not (holders := self._holders_of(models)):
            return True
        waiting = len(self._groups[models]) + sum(len(holder.running) for holder in holders)
        if waiting <= len(holders):
            return False
        kinds = {place.kind for place in self._groups[models][:5]}
        if not kinds <= self._seconds.keys():
            return True  # nothing is known yet: work is spread
        later = max(self._seconds[kind] for kind in kinds) * (waiting / len(holders) - 1)
        return later > sum(self._size(model) for model in missing) / LOADING

    def _spares(self, seat: Seat, models: Models) -> bool:
        """Whether a worker may give up models for these."""
        wanted = any(self.needed[model] for model in self._given_up(seat, models))
        return not (wanted and self._holders_of(models))

    def _holders_of(self, models: Models) -> list[Seat]:
        """The workers that hold these models."""
        if models not in self._holders:
            self._holders[models] = [seat for seat in self.seats.values() if seat.holds(models)]
        return self._holders[models]

    def _given_up(self, seat: Seat, models: Models) -> list[Model]:
        """The models that have to leave: first those that no step needs, then as they came."""
        excess = sum(self._size(model) for model in models - seat.resident.keys())
        excess += sum(seat.resident.values()) - seat.limit
        leaving = []
        for model in sorted(seat.resident.keys() - models, key=lambda model: self.needed[model] > 0):
            if excess <= 0:
                break
            leaving.append(model)
            excess -= seat.resident[model]
        return leaving

    def _make_room(self, seat: Seat, models: Models) -> None:
        for model in self._given_up(seat, models):
            del seat.resident[model]

    def _size(self, model: Model) -> int:
        return self._sizes.get(model, 0)
