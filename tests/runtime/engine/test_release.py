"""Values are freed at their last reader, and not before."""

import gc
import weakref
from typing import Any, ClassVar

import pytest
from engine import Engine, workflow

from run_graph.graph import Context, Lazy, Node, Outputs, Registry, SocketValue
from run_graph.runtime.cache import MemoryCache, NoCache, ResultCache
from run_graph.runtime.engine.session import Session


def value(result: Any, node_id: str) -> Any:
    return result.outputs(node_id).value


class Blob(SocketValue):
    """A value that records how many of its kind are alive."""

    socket_type = "BLOB"
    alive: ClassVar["weakref.WeakSet[Blob]"] = weakref.WeakSet()

    def __init__(self) -> None:
        Blob.alive.add(self)


class Made(Outputs):
    blob: Blob


class Counted(Outputs):
    value: int


class MakeBlob(Node):
    """A blob from nothing."""

    seed: int = 0

    def run(self, ctx: Context) -> Made:
        return Made(blob=Blob())


class NextBlob(Node):
    """A blob from a blob; says how many are alive meanwhile."""

    blob: Blob

    def run(self, ctx: Context) -> Made:
        gc.collect()
        PEAKS.append(len(Blob.alive))
        return Made(blob=Blob())


class CountBlobs(Node):
    """How many blobs are alive when this runs, whatever it is fed."""

    blob: Blob
    after: int = 0

    def run(self, ctx: Context) -> Counted:
        gc.collect()
        return Counted(value=len(Blob.alive))


PEAKS: list[int] = []
BLOBS = Registry([MakeBlob, NextBlob, CountBlobs])


def test_a_value_is_freed_at_its_last_reader() -> None:
    PEAKS.clear()
    nodes = {f"b{i}": (NextBlob, {"blob": f"@b{i - 1}"}) for i in range(1, 30)}
    Engine(BLOBS, NoCache()).run(
        workflow(b0=(MakeBlob, {}), **nodes, n=(CountBlobs, {"blob": "@b29"})), ["n"]
    )
    gc.collect()
    assert max(PEAKS) == 1  # a node's input, while it makes its output
    assert len(Blob.alive) == 0


def test_a_value_with_two_readers_lives_until_the_second() -> None:
    result = Engine(BLOBS, NoCache()).run(
        workflow(
            blob=(MakeBlob, {}),
            first=(CountBlobs, {"blob": "@blob"}),
            second=(CountBlobs, {"blob": "@blob", "after": "@first.value"}),
            other=(MakeBlob, {"seed": 1}),
            third=(CountBlobs, {"blob": "@other", "after": "@second.value"}),
        ),
        ["third", "second"],
    )
    assert value(result, "second") in (1, 2)
    assert value(result, "third") == 1
    gc.collect()
    assert len(Blob.alive) == 0


def test_the_values_of_targets_are_kept() -> None:
    result = Engine(BLOBS, NoCache()).run(
        workflow(a=(MakeBlob, {}), b=(NextBlob, {"blob": "@a"})), ["a", "b"]
    )
    gc.collect()
    assert len(Blob.alive) == 2
    del result
    gc.collect()
    assert len(Blob.alive) == 0


def test_an_untaken_branch_frees_what_only_it_would_have_read() -> None:
    class Pick(Node):
        """Never asks for the blob."""

        blob: Lazy[Blob]
        after: int

        def required_lazy_inputs(self) -> list[str]:
            return []

        def run(self, ctx: Context) -> Counted:
            gc.collect()
            return Counted(value=len(Blob.alive))

    engine = Engine(Registry([*BLOBS.values(), Pick]), NoCache())
    result = engine.run(
        workflow(
            blob=(MakeBlob, {}),
            read=(CountBlobs, {"blob": "@blob"}),
            untaken=(NextBlob, {"blob": "@blob"}),
            pick=(Pick, {"blob": "@untaken", "after": "@read.value"}),
            fresh=(MakeBlob, {"seed": 1}),
            last=(CountBlobs, {"blob": "@fresh", "after": "@pick.value"}),
        ),
        ["last"],
    )
    assert "untaken" not in engine.ran
    assert value(result, "last") == 1


@pytest.mark.parametrize("cache", [NoCache(), MemoryCache()], ids=["no cache", "memory"])
def test_all_of_a_run_is_freed_with_its_result_without_a_collection(cache: ResultCache) -> None:
    """No cycle of references keeps the last pictures of a finished run in memory."""
    session = Session(BLOBS, cache)
    gc.collect()
    gc.disable()
    try:
        result = session.run(workflow(a=(MakeBlob, {}), b=(NextBlob, {"blob": "@a"})), targets=["b"])
        cache.clear() if isinstance(cache, MemoryCache) else None
        assert len(Blob.alive) == 1
        del result
        assert len(Blob.alive) == 0
    finally:
        gc.enable()
