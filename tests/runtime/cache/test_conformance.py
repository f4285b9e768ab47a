"""What every back end of the result cache does. A new one is added to ``BACK_ENDS``."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cache_samples import Kept, disk
from conformance.integer_nodes import REGISTRY
from engine import TREE, Engine

from run_graph.graph import Node
from run_graph.runtime.cache import Entry, MemoryCache, NoCache, ResultCache
from run_graph.runtime.cache.tiered import TieredCache


def memory(folder: Path) -> ResultCache:
    return MemoryCache()


def on_disk(folder: Path) -> ResultCache:
    return disk(folder)[0]


def tiered(folder: Path) -> ResultCache:
    return TieredCache(MemoryCache(), disk(folder)[0])


def nothing(folder: Path) -> ResultCache:
    return NoCache()


BackEnd = Callable[[Path], ResultCache]

BACK_ENDS: list[BackEnd] = [memory, on_disk, tiered]
PERSISTENT: list[BackEnd] = [on_disk, tiered]

every = pytest.mark.parametrize("make", [*BACK_ENDS, nothing], ids=lambda make: make.__name__)
keeping = pytest.mark.parametrize("make", BACK_ENDS, ids=lambda make: make.__name__)
persistent = pytest.mark.parametrize("make", PERSISTENT, ids=lambda make: make.__name__)


class Writer(Node):
    is_output = True


@every
def test_an_unknown_name_has_no_result(make: BackEnd, tmp_path: Path) -> None:
    assert make(tmp_path).get("key", Kept) is None


@every
def test_a_result_is_kept_or_not_but_never_another(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    for number in range(20):
        cache.put(Entry(f"key {number}", Kept(value=number), f"digest {number}"))
    for number in range(20):
        for name in (f"key {number}", f"digest {number}"):
            assert cache.get(name, Kept) in (None, Kept(value=number))


@every
def test_no_name_is_known_after_an_empty_run(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.run_completed([])
    cache.run_completed(iter(["never put"]))
    assert cache.get("never put", Kept) is None


@every
def test_a_snapshot_starts_empty_and_can_always_be_used(make: BackEnd, tmp_path: Path) -> None:
    snapshot = make(tmp_path).snapshot("input digest")
    assert snapshot.load() is None
    assert snapshot.carried == 0
    snapshot.save({"step": 1})
    assert snapshot.load() in (None, {"step": 1})
    snapshot.drop()
    assert snapshot.load() is None


@every
def test_a_session_gets_the_same_results_with_it(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    expected = Engine(REGISTRY, NoCache()).run(TREE).by_node
    for _ in range(2):
        assert Engine(REGISTRY, cache).run(TREE).by_node == expected


@keeping
def test_a_result_is_found_by_its_key_and_its_input_digest(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.put(Entry("key", Kept(value="x"), "digest", 2.5, Node))
    assert cache.get("key", Kept) == cache.get("digest", Kept) == Kept(value="x")


@keeping
def test_defaults_are_worth_keeping(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.put(Entry("key", Kept(value="x")))
    assert cache.get("key", Kept) == Kept(value="x")


@keeping
def test_a_result_put_again_replaces_the_former(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.put(Entry("key", Kept(value=1)))
    cache.put(Entry("key", Kept(value=2)))
    assert cache.get("key", Kept) == Kept(value=2)


@keeping
def test_results_of_output_nodes_are_kept_until_their_run_is_complete(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    cache.put(Entry("save", Kept(value="a.png"), "these pixels", node_class=Writer))
    cache.put(Entry("decode", Kept(value="pixels")))
    assert cache.get("save", Kept) == Kept(value="a.png")
    cache.run_completed(iter(["save"]))
    assert cache.get("decode", Kept) == Kept(value="pixels")


@keeping
def test_a_second_run_computes_only_what_writes(make: BackEnd, tmp_path: Path) -> None:
    cache = make(tmp_path)
    Engine(REGISTRY, cache).run(TREE)
    engine = Engine(REGISTRY, cache)
    engine.run(TREE)
    assert set(engine.ran) <= {"sink", "other"}


@persistent
def test_results_and_snapshots_outlive_the_process(make: BackEnd, tmp_path: Path) -> None:
    make(tmp_path).put(Entry("key", Kept(value="x"), "digest"))
    make(tmp_path).snapshot("digest").save({"step": 1})
    again = make(tmp_path)
    assert again.get("digest", Kept) == Kept(value="x")
    assert again.snapshot("digest").load() == {"step": 1}
    again.snapshot("digest").drop()
    assert make(tmp_path).snapshot("digest").load() is None
