"""Whoever gets a value, the caches and the other readers keep it as the node returned it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
import pytest
from cache_samples import disk
from engine import ENVIRONMENT, workflow

from run_graph.graph import Context, Lazy, Link, Node, Outputs, Registry
from run_graph.runtime.cache import MemoryCache, NoCache, ResultCache
from run_graph.runtime.cache.tiered import TieredCache
from run_graph.runtime.engine.session import RunResult, Session
from run_graph.runtime.events import Event, NodeFinished, NodeProgress, NodeReused
from run_graph.runtime.handing_out import for_caller, for_reader
from run_graph.runtime.values import ArrayValue, Conditioning, Image, Latent, Mask


@dataclass(frozen=True, eq=False, repr=False)
class Halves(ArrayValue):
    """Another package's value, with an array of each library."""

    socket_type: ClassVar[str] = "HALVES"

    here: Any
    there: Any


class Made(Outputs):
    image: Image
    mask: Mask
    latent: Latent
    conditioning: Conditioning
    halves: Halves
    plain: Any


def heap() -> Any:
    return [1, {"deep": [2, 3]}, ({"tuple": [4]},)]


class Make(Node):
    """One value of every kind, all ones."""

    persistent = True

    def run(self, ctx: Context) -> Made:
        return Made(
            image=Image(np.ones((1, 2, 2, 3), np.float32)),
            mask=Mask(np.ones((1, 2, 2), np.float32)),
            latent=Latent(mx.ones((1, 2, 2, 16))),
            conditioning=Conditioning.of(mx.ones((1, 4, 8), mx.bfloat16), mx.ones((1, 8)), "a fox"),
            halves=Halves(np.ones(3, np.float32), mx.ones(3)),
            plain=heap(),
        )


class Total(Outputs):
    total: float
    plain: Any


class Sum(Node):
    """The sum of all numbers, so that any change shows."""

    image: Image
    mask: Mask
    latent: Latent
    conditioning: Conditioning
    halves: Halves
    plain: Any
    seed: int = 0

    def run(self, ctx: Context) -> Total:
        values = (self.image, self.mask, self.latent, self.conditioning, self.halves)
        return Total(total=sum(map(total, values)), plain=self.plain)


class Spoil(Sum):
    """Does to its inputs whatever it can."""

    def run(self, ctx: Context) -> Total:
        for name in VALUES:
            spoil(getattr(self, name))
        return Total(total=0, plain=None)


class SpoilLate(Sum):
    """Does it while it is asked for its lazy inputs."""

    lazy: Lazy[float] = 0.0

    def required_lazy_inputs(self) -> list[str]:
        for name in VALUES:
            spoil(getattr(self, name))
        return []

    def run(self, ctx: Context) -> Total:
        return Total(total=0, plain=None)


VALUES = ("image", "mask", "latent", "conditioning", "halves", "plain")
LINKS = {name: f"@make.{name}" for name in VALUES}
NODES = Registry([Make, Sum, Spoil, SpoilLate])
RIGHT = 12 + 4 + 64 + 40 + 6


def arrays_of(value: Any) -> list[Any]:
    parts = value.entries if isinstance(value, Conditioning) else (value,)
    return [each for part in parts for each in vars(part).values() if hasattr(each, "shape")]


def total(value: Any) -> float:
    return sum(float(mx.array(array).astype(mx.float32).sum()) for array in arrays_of(value))


def spoil(value: Any) -> None:
    """Change all that can be changed, in every way that Python code naturally would."""
    if isinstance(value, list):
        value[1]["deep"].append("spoilt")
        value[2][0]["tuple"].clear()
        value.append("spoilt")
        return
    for array in arrays_of(value):
        for change in (zero_by_index, zero_in_place, zero_by_view):
            with suppress(ValueError, TypeError):  # read-only; a bfloat16 array has no view
                change(array)


def zero_by_index(array: Any) -> None:
    array[...] = 0


def zero_in_place(array: Any) -> None:
    array *= 0


def zero_by_view(array: Any) -> None:
    view = np.asarray(array)
    view *= 0


def memory(folder: Path) -> ResultCache:
    return MemoryCache()


def on_disk(folder: Path) -> ResultCache:
    return disk(folder)[0]


def tiered(folder: Path) -> ResultCache:
    return TieredCache(MemoryCache(), disk(folder)[0])


caches = pytest.mark.parametrize("make_cache", [memory, on_disk, tiered])


def run(
    session: Session, targets: list[str], on_event: Callable[[Event], None] = lambda e: None
) -> RunResult:
    given = workflow(
        make=(Make, {}),
        before=(Sum, {**LINKS, "seed": 1}),
        spoil=(Spoil, LINKS),
        late=(SpoilLate, {**LINKS, "lazy": "@before.total"}),
        after=(Sum, {**LINKS, "seed": 2}),
    )
    return session.run(given, targets=targets, environment=ENVIRONMENT, on_event=on_event)


def assert_right(session: Session) -> None:
    """The values that the session keeps are right, and so is what nodes that run now make of them."""
    outputs: Any = run(session, ["after"]).outputs("after")
    assert outputs.total == RIGHT
    assert outputs.plain == heap()
    made: Any = run(session, ["make"]).outputs("make")
    assert sum(total(getattr(made, name)) for name in VALUES[:-1]) == RIGHT
    assert made.plain == heap()


def by_value(result: RunResult) -> list[Any]:
    return [result.value(Link("make", slot)) for slot in range(len(VALUES))]


def by_outputs(result: RunResult) -> list[Any]:
    return [getattr(result.outputs("make"), name) for name in VALUES]


def by_node(result: RunResult) -> list[Any]:
    return list(result.by_node["make"].__dict__.values())


def by_iterating(result: RunResult) -> list[Any]:
    [outputs] = result.by_node.values()
    return list(outputs.__dict__.values())


@caches
@pytest.mark.parametrize("taken", [by_value, by_outputs, by_node, by_iterating])
def test_what_a_caller_does_to_a_result_stays_with_the_caller(
    make_cache: Callable[[Path], ResultCache], taken: Callable[[RunResult], list[Any]], tmp_path: Path
) -> None:
    session = Session(NODES, make_cache(tmp_path))
    for _ in range(2):  # computed, then found
        result = run(session, ["make"])
        values = taken(result)
        for value in values:
            spoil(value)
        assert sum(map(total, values[:-1])) == 0, "a caller may change arrays"
        assert taken(result)[-1][-1] == "spoilt", "and the result keeps the changes"
    assert_right(session)


@caches
@pytest.mark.parametrize("spoiler", ["spoil", "late"])
def test_what_a_node_does_to_its_inputs_reaches_no_other(
    make_cache: Callable[[Path], ResultCache], spoiler: str, tmp_path: Path
) -> None:
    session = Session(NODES, make_cache(tmp_path))
    ran: list[str] = []
    outputs: Any = run(session, [spoiler, "after"], lambda event: ran.append(getattr(event, "node_id", "")))
    assert outputs.outputs("after").total == RIGHT
    assert "before" not in ran, "the lazy input was not asked for"
    assert_right(session)


@caches
def test_what_a_listener_does_to_outputs_reaches_no_other(
    make_cache: Callable[[Path], ResultCache], tmp_path: Path
) -> None:
    seen: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, NodeFinished | NodeReused):
            outputs = event.outputs()
            assert outputs is not None
            if isinstance(outputs, Made):
                seen.append(event.kind)
                for value in outputs.__dict__.values():
                    spoil(value)

    session = Session(NODES, make_cache(tmp_path))
    for _ in range(2):
        result: Any = run(session, ["make", "after"], listen)
        assert result.outputs("after").total == RIGHT
    assert seen[0] == "node_finished"
    assert_right(session)


def test_a_listener_is_not_given_a_copy_of_a_picture() -> None:
    """Pictures are large and read-only."""
    image = Image(np.ones((1, 2, 2, 3), np.float32))
    image.seal()
    assert for_reader(image) is image
    assert for_caller(image) is not image
    assert for_caller(image).pixels.flags.writeable


@pytest.mark.parametrize("library", ["mlx", "numpy"])
def test_what_a_listener_does_to_a_preview_does_not_reach_the_node(library: str) -> None:
    class Steps(Node):
        def run(self, ctx: Context) -> Total:
            state: Any = mx.ones(4) if library == "mlx" else np.ones(4, np.float32)
            for step in range(3):
                state = state + 1
                ctx.progress(step, 3, preview=state)
            return Total(total=float(state.sum()), plain=None)

    previews: list[Any] = []

    def listen(event: Event) -> None:
        if isinstance(event, NodeProgress):
            previews.append(for_caller(event.preview))
            for change in (zero_by_index, zero_in_place, zero_by_view):
                change(event.preview)

    session = Session(Registry([Steps]), NoCache())
    result: Any = session.run(workflow(s=(Steps, {})), targets=["s"], on_event=listen)
    assert result.outputs("s").total == 16
    assert [float(preview[0]) for preview in previews] == [2, 3, 4]


def test_what_a_node_does_later_to_what_it_returned_changes_nothing() -> None:
    """It may keep a buffer from one picture to the next."""
    buffers: dict[str, Any] = {
        "pixels": np.ones((2, 1, 2, 2, 3), np.float32),
        "memory": bytearray(np.ones(4, np.float32).tobytes()),
        "samples": mx.ones((1, 2, 2, 16)),
        "tokens": mx.ones((1, 4, 8)),
        "list": heap(),
    }
    refused: list[str] = []

    class Reuses(Node):
        seed: int

        def run(self, ctx: Context) -> Made:
            if self.seed:
                self.write()
            mask = np.frombuffer(buffers["memory"], np.float32).reshape(1, 2, 2)
            return Made(
                image=Image(buffers["pixels"][0]),
                mask=Mask(mask),
                latent=Latent(buffers["samples"]),
                conditioning=Conditioning.of(buffers["tokens"], mx.ones((1, 8)), ""),
                halves=Halves(np.ones(3, np.float32), mx.ones(3)),
                plain=buffers["list"],
            )

        def write(self) -> None:
            buffers["memory"][:] = bytes(16)
            buffers["samples"] *= 0
            buffers["tokens"][...] = 0
            buffers["list"].clear()
            try:
                buffers["pixels"] *= 0
            except ValueError as error:
                refused.append(str(error))

    session = Session(Registry([Reuses]), MemoryCache())
    first = workflow(make=(Reuses, {"seed": 0}))
    session.run(first, targets=["make"])
    session.run(workflow(make=(Reuses, {"seed": 1})), targets=["make"])
    again: Any = session.run(first, targets=["make"]).outputs("make")
    assert [total(getattr(again, name)) for name in VALUES[:4]] == [12, 4, 64, 40]
    assert again.plain == heap()
    assert len(refused) == 1


def test_what_holds_no_arrays_is_handed_out_as_it_is() -> None:
    class Number(Outputs):
        value: float

    class Half(Node):
        def run(self, ctx: Context) -> Number:
            return Number(value=0.5)

    session = Session(Registry([Half]), MemoryCache())
    first, second = (session.run(workflow(h=(Half, {})), targets=["h"]).outputs("h") for _ in range(2))
    assert first is second
