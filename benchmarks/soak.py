"""Random graphs with random failures, cancellations and cache damage, checked by a plain evaluator.

This is a stress test, not a comparison: it fails if a result is wrong, or if memory or open files grow.
"""

from __future__ import annotations

import gc
import os
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np

from benchmarks.report import Section, Table
from run_graph.graph import Context, Link, Node, NodeSpec, Outputs, Registry, Workflow
from run_graph.runtime.cache import MemoryCache, ResultCache
from run_graph.runtime.cache.blob_store import BlobStore
from run_graph.runtime.cache.disk import DiskCache
from run_graph.runtime.cache.tiered import TieredCache
from run_graph.runtime.engine.context import CancelToken, RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.errors import Cancelled, NodeFailed
from run_graph.runtime.events import Event, NodeReused, NodeStarted
from run_graph.runtime.values import ArrayValue

GRAPHS, QUICK_GRAPHS = 2_000, 60
LEAK_RUNS, QUICK_LEAK_RUNS = 500, 60
MOST_NODES = 14
ATTEMPTS = 4

_TEXT = """\
Random graphs of up to 14 nodes with arrays, each run four times in a session on one shared cache folder:
nodes fail, runs are cancelled at a random event, and between runs files of the cache are truncated, changed
by one bit, swapped or removed. Every run that completes must give exactly the bits that a plain recursive
evaluator gives. Then one graph after another is run; live values, MLX's memory and open files are counted.
"""

_failing: set[int] = set()


@dataclass(frozen=True, eq=False, repr=False)
class Numbers(ArrayValue):
    """An array of any numbers."""

    socket_type: ClassVar[str] = "NUMBERS"

    values: Array

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes)


class Made(Outputs):
    mask: Numbers


class Summed(Outputs):
    total: float


class Ramp(Node):
    slope: int

    def run(self, ctx: Context) -> Made:
        return Made(mask=Numbers(ramp(self.slope)))


class Mix(Node):
    a: Numbers
    b: Numbers
    weight: int

    def run(self, ctx: Context) -> Made:
        return Made(mask=Numbers(mixed(self.a.values, self.b.values, self.weight)))


class Floor(Node):
    """Gives the same output for many inputs, so that the nodes after it need not run again."""

    a: Numbers
    step: int

    def run(self, ctx: Context) -> Made:
        return Made(mask=Numbers(floored(self.a.values, self.step)))


class Fragile(Node):
    """Fails while its ticket is in the set of failing tickets."""

    a: Numbers
    ticket: int

    def run(self, ctx: Context) -> Made:
        if self.ticket in _failing:
            raise RuntimeError("a failing ticket")
        return Made(mask=self.a)


class Walk(Node):
    """Resumes where it was interrupted."""

    a: Numbers
    steps: int

    def run(self, ctx: Context) -> Made:
        state = ctx.resume_state() or {"done": 0, "values": mx.array(self.a.values)}
        values = state["values"]
        for step in range(state["done"], self.steps):
            values = values * 2 - step
            mx.eval(values)
            ctx.save_state(done=step + 1, values=values)
            ctx.progress(step + 1, self.steps)
        return Made(mask=Numbers(np.array(values)))


class Sum(Node):
    is_output = True

    a: Numbers

    def run(self, ctx: Context) -> Summed:
        return Summed(total=total(self.a.values))


REGISTRY = Registry([Ramp, Mix, Floor, Fragile, Walk, Sum])
Array = Any


def ramp(slope: int) -> Array:
    return np.arange(24, dtype=np.float32).reshape(1, 4, 6) * np.float32(slope)


def mixed(a: Array, b: Array, weight: int) -> Array:
    return a * np.float32(0.5) + b * np.float32(weight)


def floored(a: Array, step: int) -> Array:
    return np.sign(a) * np.float32(step)


def total(a: Array) -> float:
    return float(a.sum(dtype=np.float64))


def measure(quick: bool) -> Section:
    """Raises AssertionError if a result is wrong or something grows."""
    graphs, runs = (QUICK_GRAPHS, QUICK_LEAK_RUNS) if quick else (GRAPHS, LEAK_RUNS)
    with tempfile.TemporaryDirectory() as folder:
        counts = soak(Path(folder) / "soak", graphs)
        growth = leak(Path(folder) / "leak", runs)
    rows = [[name, f"{count:,}"] for name, count in {**counts, **growth}.items()]
    return Section("Soak", _TEXT, [Table(["", ""], rows)], ["mlx", "numpy"])


def soak(folder: Path, graphs: int, seed: int = 0) -> dict[str, int]:
    """Run random graphs with random faults; return how often each outcome occurred."""
    draw = random.Random(seed)
    counts = Counter[str]({"graphs": graphs})
    warnings: list[str] = []
    for _ in range(graphs):
        disk = DiskCache(BlobStore(folder, draw.choice([30_000, 10**9])), warnings.append, least_seconds=0)
        caches: list[ResultCache] = [disk, TieredCache(MemoryCache(), disk)]
        session = Session(REGISTRY, draw.choice(caches))
        workflow = random_graph(draw)
        for attempt in range(ATTEMPTS):
            _failing.clear()
            last = attempt == ATTEMPTS - 1
            if not last:
                _failing.update(draw.sample(range(6), draw.randrange(4)))
            if draw.random() < 0.5:
                counts["files damaged"] += damage(folder, draw)
            if draw.random() < 0.3:
                workflow = changed(workflow, draw)
            counts[attempt_run(session, workflow, None if last else draw.randrange(1, 40), counts)] += 1
    counts["damages reported"] = len(warnings)
    return dict(counts)


def attempt_run(session: Session, workflow: Workflow, cancel_at: int | None, counts: Counter[str]) -> str:
    """Run once and return how the run ended; a run that completes must be right."""
    token, events = CancelToken(), 0

    def listen(event: Event) -> None:
        nonlocal events
        events += 1
        counts["nodes run"] += isinstance(event, NodeStarted)
        counts["nodes reused"] += isinstance(event, NodeReused)
        if events == cancel_at:
            token.cancel()

    environment = RunEnvironment([Path()], Path("output"))
    try:
        result = session.run(workflow, environment=environment, on_event=listen, token=token)
    except NodeFailed:
        assert _failing, "a node failed although no ticket was failing"
        return "runs with a failure"
    except Cancelled:
        return "runs cancelled"
    known: dict[str, Any] = {}
    for node_id, outputs in result.by_node.items():
        expected = evaluated(workflow, node_id, known)
        assert vars(outputs)["total"] == expected, f"{node_id}: {outputs} is not {expected}"
    return "runs with bit-identical results"


def random_graph(draw: random.Random) -> Workflow:
    """Nodes that read earlier nodes, and a Sum of each node that no other node reads."""
    nodes = {"n0": NodeSpec("Ramp", {"slope": draw.randint(-3, 3)})}
    for number in range(1, draw.randint(2, MOST_NODES)):
        link = Link(draw.choice(list(nodes)), 0)
        kind = draw.choice(["Ramp", "Mix", "Mix", "Floor", "Fragile", "Walk"])
        inputs: dict[str, dict[str, Any]] = {
            "Ramp": {"slope": draw.randint(-3, 3)},
            "Mix": {"a": link, "b": Link(draw.choice(list(nodes)), 0), "weight": draw.randint(-2, 2)},
            "Floor": {"a": link, "step": draw.randint(1, 3)},
            "Fragile": {"a": link, "ticket": draw.randrange(6)},
            "Walk": {"a": link, "steps": draw.randint(1, 4)},
        }
        nodes[f"n{number}"] = NodeSpec(kind, inputs[kind])
    read = {link.node_id for spec in nodes.values() for _, link in spec.links()}
    sums = {f"s{name}": NodeSpec("Sum", {"a": Link(name, 0)}) for name in nodes if name not in read}
    return Workflow({**nodes, **sums})


def changed(workflow: Workflow, draw: random.Random) -> Workflow:
    """The workflow with a new random slope for one of its ramps."""
    ramps = [node_id for node_id, spec in workflow.nodes.items() if spec.class_type == "Ramp"]
    return workflow.with_input(draw.choice(ramps), "slope", draw.randint(-3, 3))


def evaluated(workflow: Workflow, node_id: str, known: dict[str, Any]) -> Any:
    """A node's result, computed by plain recursion."""
    if node_id not in known:
        spec = workflow.nodes[node_id]
        given = {
            name: evaluated(workflow, value.node_id, known) if isinstance(value, Link) else value
            for name, value in spec.inputs.items()
        }
        known[node_id] = _PLAIN[spec.class_type](**given)
    return known[node_id]


def _walked(a: Array, steps: int) -> Array:
    for step in range(steps):
        a = a * np.float32(2) - np.float32(step)
    return a


_PLAIN: dict[str, Any] = {
    "Ramp": ramp,
    "Mix": mixed,
    "Floor": floored,
    "Fragile": lambda a, ticket: a,
    "Walk": _walked,
    "Sum": total,
}


def damage(folder: Path, draw: random.Random) -> int:
    """Truncate, change, swap or remove up to three files of the cache; return how many."""
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    chosen = draw.sample(paths, min(len(paths), draw.randint(0, 3)))
    others = [path.read_bytes() for path in chosen]
    for path in chosen:
        data = bytearray(path.read_bytes())
        kind = draw.choice(["cut", "bit", "other", "gone"])
        if kind == "cut":
            path.write_bytes(data[: draw.randrange(len(data))] if data else b"")
        elif kind == "bit" and data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
        elif kind == "other":
            path.write_bytes(others[draw.randrange(len(others))])
        else:
            path.unlink()
    return len(chosen)


def share(folder: Path, runs: int, seed: int) -> dict[str, int]:
    """Run the same graphs as other processes on a shared cache; nothing may be reported as damaged."""
    draw, warnings = random.Random(seed), list[str]()
    _failing.clear()
    counts = Counter[str]()
    for number in range(runs):
        cache = DiskCache(BlobStore(folder, 60_000), warnings.append, least_seconds=0)
        graph = random_graph(random.Random(draw.randrange(20)))
        counts[attempt_run(Session(REGISTRY, cache), graph, None, counts)] += 1
        assert not warnings, f"in run {number}: {warnings}"
    return dict(counts)


def leak(folder: Path, runs: int) -> dict[str, int]:
    """Run one graph after another and measure what they leave in memory and open files."""
    draw, warnings = random.Random(1), list[str]()
    _failing.clear()
    session = Session(REGISTRY, DiskCache(BlobStore(folder, 10**6), warnings.append, least_seconds=0))
    counts, marks = Counter[str](), list[tuple[int, int, int]]()
    for number in range(runs):
        attempt_run(session, random_graph(draw), draw.choice([None, 5, 9]), counts)
        if number in (runs // 10, runs - 1):
            marks.append(_alive())
    grown = [later - earlier for earlier, later in zip(*marks, strict=True)]
    assert max(grown) <= 0, f"live values, MLX bytes, open files: {marks[0]}, then {marks[1]}"
    names = ("more live values", "more MLX bytes", "more open files")
    return {"runs counted for leaks": runs, **dict(zip(names, grown, strict=True))}


def _alive() -> tuple[int, int, int]:
    gc.collect()
    values = sum(isinstance(each, ArrayValue) for each in gc.get_objects())
    return values, mx.get_active_memory(), len(os.listdir("/dev/fd"))
