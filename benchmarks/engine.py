"""The engine's overhead per node, for nodes that do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from benchmarks.engines import (
    RunGraph,
    Shape,
    chain,
    dask,
    fan,
    graphlib_loop,
    hamilton,
    ladder,
    random_dag,
    ten_sources,
)
from benchmarks.report import Section, Table
from benchmarks.timing import Timing, alternate

SHAPES: Mapping[str, Callable[[int], Shape]] = {
    "chain": chain,
    "fan": fan,
    "random DAG": random_dag,
    "ladder": ladder,
    "ten sources": ten_sources,
}
SIZES = (100, 1_000, 5_000, 20_000)
QUICK_SIZES = (100, 1_000)
LEAST_NODES = 1_000  # per timing: smaller graphs are run several times
MICROSECOND = 1e-6
ENGINES = ("run-graph", "cached", "graphlib", "dask", "Hamilton")
COMPARED = ("graphlib", "dask", "Hamilton")

FRESH_GOAL, CACHED_GOAL = 25, 10  # microseconds per node

Timings = Mapping[str, Timing]

_TEXT = f"""\
Processor microseconds per node, everything included. *run-graph*: from the workflow as data to the results
(validation, keys, running, events, release of values), nothing cached; *cached*: the same again in the same
session. *graphlib*: the lower bound, a bare loop over `graphlib.TopologicalSorter` with a sha256 key per
node, which checks and reports nothing. *dask*: `dask.local.get_sync` on a prepared dictionary of tasks, with
neither validation nor keys. *Hamilton*: building a driver from prepared functions, which checks their types,
and executing it. In a chain, each node reads the one before it; in a fan, all read the first; in a random
DAG, one to three earlier ones; in a ladder, the two before it; with ten sources, three of those. A timing
covers at least {LEAST_NODES:,} nodes: smaller graphs are run several times in a row. The last columns are
ratios, taken round by round.
"""


def measure(quick: bool) -> Section:
    """Graphs of several shapes and sizes."""
    found = {
        (name, size): _timings(shape_of(size), rounds=3 if quick else 7)
        for name, shape_of in SHAPES.items()
        for size in (QUICK_SIZES if quick else SIZES)
    }
    rows = [
        [
            f"{name}, {size:,}",
            *[_cell(timings.get(engine), size) for engine in ENGINES],
            *[_ratio(timings, other) for other in COMPARED],
        ]
        for (name, size), timings in found.items()
    ]
    headings = ["graph", *ENGINES, *[f"run-graph ÷ {other}" for other in COMPARED]]
    packages = ["dask", "apache-hamilton", "pydantic"]
    return Section("Engine overhead", _TEXT, [Table(headings, rows)], packages, list(_notes(found)))


def _timings(shape: Shape, rounds: int) -> Timings:
    ours = RunGraph(shape)
    contenders = {
        "run-graph": ours.fresh,
        "cached": ours.rerun,
        "graphlib": graphlib_loop(shape),
        "dask": dask(shape),
        "Hamilton": hamilton(shape),
    }
    times = _runs(len(shape.parents))
    able = {name: _several(run, times) for name, run in contenders.items() if _can(run)}
    return alternate(able, rounds, clock=time.process_time)


def _runs(size: int) -> int:
    """How often a graph is run in one timing."""
    return max(1, LEAST_NODES // size)


def _covered(size: int) -> int:
    """The number of nodes that one timing of a graph covers."""
    return size * _runs(size)


def _several(run: Callable[[], object], times: int) -> Callable[[], object]:
    def runs() -> None:
        for _ in range(times):
            run()

    return runs


def _can(run: Callable[[], object]) -> bool:
    """Whether an engine can run the graph: some recurse, and a long chain is too deep for them."""
    try:
        run()
    except RecursionError:
        return False
    return True


def _cell(timing: Timing | None, size: int) -> str:
    return "RecursionError" if timing is None else timing.shown(_covered(size) * MICROSECOND, 1)


def _ratio(timings: Timings, other: str) -> str:
    return f"{timings['run-graph'].ratio(timings[other]):.2f}" if other in timings else ""


def _notes(found: Mapping[tuple[str, int], Timings]) -> Iterator[str]:
    for engine, goal in (("run-graph", FRESH_GOAL), ("cached", CACHED_GOAL)):
        cost = {
            (name, size): timings[engine].median / _covered(size) / MICROSECOND
            for (name, size), timings in found.items()
        }
        worst = max(cost, key=cost.__getitem__)
        growth = ", ".join(
            f"{cost[name, max(sizes)] / cost[name, 1_000]:.2f} times that at 1,000 ({name})"
            for name, sizes in _sizes(found).items()
        )
        yield (
            f"*{engine}*: the goal is {goal} µs per node; the maximum is {cost[worst]:.1f} "
            f"({worst[0]} of {worst[1]:,}). "
            f"At the largest size a node costs {growth}."
        )


def _sizes(found: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for name, size in found:
        sizes.setdefault(name, []).append(size)
    return sizes
