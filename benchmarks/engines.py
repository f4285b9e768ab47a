"""The same graph of no-op nodes for every engine in the comparison.

A graph is given by its nodes' parents: ``parents[i]`` has the numbers of the nodes that node ``i`` reads, at
most three. Each node also has its number as a literal input, so that no two nodes are the same.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from run_graph.graph import Context, Field, Node, Outputs, Registry, Workflow
from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session


@dataclass(frozen=True)
class Shape:
    """A graph: each node's parents, and the nodes whose results are wanted."""

    parents: Sequence[tuple[int, ...]]
    targets: Sequence[int]


def chain(count: int) -> Shape:
    """Each node reads the one before it; the last is wanted."""
    return Shape([(), *((i,) for i in range(count - 1))], [count - 1])


def fan(count: int) -> Shape:
    """All nodes read the first one; all of them except the first are wanted."""
    return Shape([(), *[(0,)] * (count - 1)], range(1, count))


def random_dag(count: int) -> Shape:
    """Each node reads one to three earlier ones; those that nobody reads are wanted."""
    chance = random.Random(0)
    return _unread_wanted(
        [tuple(chance.sample(range(i), min(i, chance.randint(1, 3)))) for i in range(count)]
    )


def ladder(count: int) -> Shape:
    """Each node reads the two before it; the last is wanted."""
    return Shape([tuple(range(max(0, i - 2), i)) for i in range(count)], [count - 1])


def ten_sources(count: int) -> Shape:
    """Each node but the first ten reads three of those; all others are wanted."""
    chance = random.Random(0)
    sources = range(10)
    return _unread_wanted([() if i in sources else tuple(chance.sample(sources, 3)) for i in range(count)])


def _unread_wanted(parents: Sequence[tuple[int, ...]]) -> Shape:
    read = {parent for each in parents for parent in each}
    return Shape(parents, [i for i in range(len(parents)) if i not in read])


class Number(Outputs):
    value: int


class Start(Node):
    """A number."""

    literal: int = Field(description="The number.")

    def run(self, ctx: Context) -> Number:
        return Number(value=self.literal)


class Pass(Node):
    """Its first input."""

    value: int = Field(description="The value to pass on.")
    literal: int = Field(description="A number that makes this node unique.")

    def run(self, ctx: Context) -> Number:
        return Number(value=self.value)


class PassFirst(Pass):
    """Its first input of two."""

    second: int = Field(description="Another value.")


class PassFirstOfThree(PassFirst):
    """Its first input of three."""

    third: int = Field(description="Yet another value.")


_CLASSES: tuple[type[Node], ...] = (Start, Pass, PassFirst, PassFirstOfThree)  # by the number of parents
_INPUTS = ("value", "second", "third")


class RunGraph:
    """Our engine, from the workflow as data to the results; results are kept in memory between runs."""

    def __init__(self, shape: Shape) -> None:
        self._registry = Registry(_CLASSES)
        self._workflow = Workflow.from_json(
            {f"n{i}": _spec(i, parents) for i, parents in enumerate(shape.parents)}
        )
        self._targets = [f"n{i}" for i in shape.targets]
        self._environment = RunEnvironment([Path()], Path("output"))
        self._kept = self._session()
        self.rerun()

    def fresh(self) -> object:
        """Validation, keys, running, events and the release of values, with nothing cached."""
        return self._run(self._session())

    def rerun(self) -> object:
        """The same again, with everything cached."""
        return self._run(self._kept)

    def _session(self) -> Session:
        return Session(self._registry, MemoryCache())

    def _run(self, session: Session) -> object:
        return session.run(self._workflow, targets=self._targets, environment=self._environment)


def _spec(number: int, parents: tuple[int, ...]) -> dict[str, Any]:
    """A node as it is in a workflow file."""
    links = {name: [f"n{parent}", 0] for name, parent in zip(_INPUTS, parents, strict=False)}
    return {"class_type": _CLASSES[len(parents)].class_type, "inputs": {**links, "literal": number}}


def graphlib_loop(shape: Shape) -> Callable[[], object]:
    """The lower bound: topological order, a sha256 key per node, a dictionary of results; no checks."""
    sources = dict(enumerate(shape.parents))

    def run() -> object:
        keys: dict[int, str] = {}
        values: dict[int, int] = {}
        for i in TopologicalSorter(sources).static_order():
            parents = sources[i]
            text = f"Pass {i} {' '.join([keys[parent] for parent in parents])}"
            keys[i] = hashlib.sha256(text.encode()).hexdigest()
            values[i] = values[parents[0]] if parents else i
        return [values[target] for target in shape.targets]

    return run


def dask(shape: Shape) -> Callable[[], object]:
    """``dask.local.get_sync``: dask's scheduler in this thread. No validation, no keys."""
    from dask.local import get_sync

    tasks: dict[str, Any] = {
        f"n{i}": (_pass, *(f"n{parent}" for parent in parents), i) if parents else (_number, i)
        for i, parents in enumerate(shape.parents)
    }
    targets = [f"n{i}" for i in shape.targets]
    return lambda: get_sync(tasks, targets)


def _number(literal: int) -> int:
    return literal


def _pass(value: int, *others: int) -> int:
    return value


def hamilton(shape: Shape) -> Callable[[], object]:
    """apache-hamilton: building a driver from functions (which checks their types) and executing it.

    Creating the functions is not timed.
    """
    from hamilton import ad_hoc_utils, base, driver

    logging.getLogger("hamilton").setLevel(logging.CRITICAL + 1)  # the table shows failures
    module = ad_hoc_utils.create_temporary_module(*map(_function, range(len(shape.parents)), shape.parents))
    targets = [f"n{i}" for i in shape.targets]

    def run() -> object:
        adapter = base.SimplePythonGraphAdapter(base.DictResult())
        return driver.Builder().with_modules(module).with_adapters(adapter).build().execute(targets)

    return run


def _function(number: int, parents: tuple[int, ...]) -> Callable[..., int]:
    """A function for Hamilton: it has the node's name, and its parameters have the parents' names."""
    names: dict[str, Any] = {}
    parameters = ", ".join(f"n{parent}: int" for parent in parents)
    value = f"n{parents[0]}" if parents else number
    exec(f"def n{number}({parameters}) -> int:\n    return {value}", names)
    function: Callable[..., int] = names[f"n{number}"]
    return function
