"""Early cut-off: a node that reads the same values as before does not run again."""

from pathlib import Path
from typing import Any

import numpy as np
from cache_samples import disk
from conformance.integer_nodes import REGISTRY, Add, Const, DivMod, Inc, Sink, Switch
from engine import Engine, workflow

from run_graph.graph import Context, Field, Node, Outputs, Registry, SocketValue
from run_graph.runtime.cache import MemoryCache, NoCache
from run_graph.runtime.events import NodeReused
from run_graph.runtime.values import Mask

PARITY = workflow(
    n=(Const, {"value": 4}),
    parity=(DivMod, {"a": "@n", "b": 2}),
    next=(Inc, {"x": "@parity.remainder"}),
    half=(Inc, {"x": "@parity.quotient"}),
    even=(Sink, {"x": "@next"}),
    size=(Sink, {"x": "@half"}),
)


def test_only_readers_of_what_changed_run() -> None:
    engine = Engine(REGISTRY)
    engine.run(PARITY)
    result = engine.run(PARITY.with_input("n", "value", 6))
    assert engine.ran == ["n", "parity", "half", "size"]
    assert engine.reused("unchanged") == ["next", "even"]
    assert [outputs.value for outputs in result.by_node.values()] == [1, 4]  # type: ignore[attr-defined]


def test_the_same_value_may_come_from_another_upstream() -> None:
    engine = Engine(REGISTRY)
    engine.run(workflow(five=(Const, {"value": 5}), six=(Inc, {"x": "@five"}), s=(Sink, {"x": "@six"})))
    engine.run(workflow(sum=(Add, {"a": 2, "b": 3}), six=(Inc, {"x": "@sum"}), s=(Sink, {"x": "@six"})))
    assert engine.ran == ["sum"]


def test_a_changed_literal_matters() -> None:
    engine = Engine(REGISTRY)
    given = workflow(n=(Const, {"value": 1}), a=(Add, {"a": "@n", "b": 1}), s=(Sink, {"x": "@a"}))
    engine.run(given)
    engine.run(given.with_input("a", "b", 2))
    assert engine.ran == ["a", "s"]


def test_only_the_inputs_that_a_node_asked_for_matter() -> None:
    engine = Engine(REGISTRY)
    given = workflow(
        cond=(Const, {"value": 1}),
        yes=(Const, {"value": 10}),
        no=(Const, {"value": 20}),
        switch=(Switch, {"cond": "@cond", "on_true": "@yes", "on_false": "@no"}),
        s=(Sink, {"x": "@switch"}),
    )
    engine.run(given)
    engine.run(given.with_input("no", "value", 30))  # never read
    assert engine.ran == []
    engine.run(given.with_input("cond", "value", 0))
    assert engine.ran == ["cond", "no", "switch", "s"]
    engine.run(given.with_input("cond", "value", 2))
    assert engine.ran == ["cond", "switch"]  # another condition, the same outcome


def test_without_a_cache_everything_runs() -> None:
    engine = Engine(REGISTRY, NoCache())
    for _ in range(2):
        engine.run(PARITY)
        assert len(engine.ran) == 6


def test_events_carry_the_result_that_was_known() -> None:
    engine = Engine(REGISTRY)
    engine.run(PARITY)
    engine.run(PARITY.with_input("n", "value", 8))
    [event] = [e for e in engine.events if isinstance(e, NodeReused) and e.node_id == "even"]
    assert event.result == {"value": 1}


class Masked(Outputs):
    mask: Mask


class Threshold(Node):
    """1 where a picture of one pixel is brighter than a level."""

    level: float

    def run(self, ctx: Context) -> Masked:
        return Masked(mask=Mask(np.full((1, 1, 1), self.level < 0.5, np.float32)))


class Handle(SocketValue):
    socket_type = "HANDLE"


class Handles(Outputs):
    handle: Handle


class Load(Node):
    """A handle, which has no digest: only its source identifies it."""

    name: str

    def run(self, ctx: Context) -> Handles:
        return Handles(handle=Handle())


class Measured(Outputs):
    value: float


class Measure(Node):
    """The mean of a mask."""

    is_output = True
    mask: Mask
    handle: Handle | None = Field(default=None)

    def run(self, ctx: Context) -> Measured:
        return Measured(value=float(self.mask.values.mean()))


ARRAYS = Registry([Threshold, Measure, Load])


def measure(level: float, **inputs: Any) -> Any:
    return workflow(
        mask=(Threshold, {"level": level}),
        load=(Load, {"name": inputs.pop("name", "a")}),
        mean=(Measure, {"mask": "@mask", "handle": "@load"}),
    )


def test_arrays_are_compared_by_their_bits() -> None:
    engine = Engine(ARRAYS)
    engine.run(measure(0.1))
    engine.run(measure(0.2))
    assert engine.ran == ["mask"]
    engine.run(measure(0.7))
    assert engine.ran == ["mask", "mean"]


def test_a_value_without_a_digest_is_identified_by_its_source() -> None:
    engine = Engine(ARRAYS)
    engine.run(measure(0.1))
    engine.run(measure(0.1, name="b"))
    assert engine.ran == ["load", "mean"]


def test_it_reaches_across_processes(tmp_path: Path) -> None:
    """Another session on the same folder; but a file that an output node wrote is written again."""

    class Mean(Measure):
        is_output = False

    registry = Registry([Threshold, Mean, Load, Measure])
    given = measure(0.1)
    given = type(given)(
        {**given.nodes, "mean": type(given.nodes["mean"])("Mean", given.nodes["mean"].inputs)}
    )
    Engine(registry, disk(tmp_path)[0]).run(given, ["mean"])
    later = Engine(registry, disk(tmp_path)[0])
    later.run(given.with_input("mask", "level", 0.2), ["mean"])
    assert set(later.ran) == {"load", "mask"}
    Engine(registry, disk(tmp_path)[0]).run(measure(0.1), ["mean"])
    later = Engine(registry, disk(tmp_path)[0])
    later.run(measure(0.1), ["mean"])
    assert "mean" in later.ran


def test_a_result_that_was_evicted_is_computed_again() -> None:
    engine = Engine(REGISTRY, MemoryCache(maximum_bytes=0))
    engine.run(PARITY)
    engine.run(PARITY.with_input("n", "value", 6))
    assert len(engine.ran) == 6
