"""The same graph of no-op nodes for every engine in the comparison.

A graph is given by its nodes' parents: ``parents[i]`` is the number of the node that node ``i`` reads, or
None for a source. Each node also has its number as a literal input, so that no two nodes are the same.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from run_graph.graph import Context, Field, Link, Node, NodeSpec, Outputs, Registry, Workflow
from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session


@dataclass(frozen=True)
class Shape:
    """A graph: each node's parent, and the nodes whose results are wanted."""

    parents: Sequence[int | None]
    targets: Sequence[int]


def chain(count: int) -> Shape:
    """Each node reads the one before it; the last is wanted."""
    return Shape([None, *range(count - 1)], [count - 1])


def fan(count: int) -> Shape:
    """All nodes read the first one; all of them except the first are wanted."""
    return Shape([None, *[0] * (count - 1)], range(1, count))


class Number(Outputs):
    value: int


class Start(Node):
    """A number."""

    literal: int = Field(description="The number.")

    def run(self, ctx: Context) -> Number:
        return Number(value=self.literal)


class Pass(Node):
    """Its input."""

    value: int = Field(description="The value to pass on.")
    literal: int = Field(description="A number that makes this node unique.")

    def run(self, ctx: Context) -> Number:
        return Number(value=self.value)


class RunGraph:
    """Our engine, from the workflow as data to the results; results are kept in memory between runs."""

    def __init__(self, shape: Shape) -> None:
        self._registry = Registry([Start, Pass])
        self._workflow = Workflow({f"n{i}": _spec(i, parent) for i, parent in enumerate(shape.parents)})
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


def _spec(number: int, parent: int | None) -> NodeSpec:
    if parent is None:
        return NodeSpec("Start", {"literal": number})
    return NodeSpec("Pass", {"value": Link(f"n{parent}", 0), "literal": number})


def graphlib_loop(shape: Shape) -> Callable[[], object]:
    """The lower bound: topological order, a sha256 key per node, a dictionary of results; no checks."""
    sources = {i: () if parent is None else (parent,) for i, parent in enumerate(shape.parents)}

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
        f"n{i}": (_number, i) if parent is None else (_pass, f"n{parent}", i)
        for i, parent in enumerate(shape.parents)
    }
    targets = [f"n{i}" for i in shape.targets]
    return lambda: get_sync(tasks, targets)


def _number(literal: int) -> int:
    return literal


def _pass(value: int, literal: int) -> int:
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


def _function(number: int, parent: int | None) -> Callable[..., int]:
    """A function for Hamilton: it has the node's name, and its parameter has the parent's name."""
    names: dict[str, Any] = {}
    parameter = "" if parent is None else f"n{parent}: int"
    value = number if parent is None else f"n{parent}"
    exec(f"def n{number}({parameter}) -> int:\n    return {value}", names)
    function: Callable[..., int] = names[f"n{number}"]
    return function
