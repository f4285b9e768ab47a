"""The cache on disk: what is found again, what is evicted, and that nothing damaged is used."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cache_samples import VALUES as SAMPLES
from cache_samples import Kept, Number, disk, files

from run_graph.graph import Node
from run_graph.runtime.cache import Entry
from run_graph.runtime.cache.blob_store import RESULTS, VALUES
from run_graph.runtime.cache.serialization import serialize
from run_graph.runtime.files.atomic import SaveError


class Writer(Node):
    is_output = True


class Reader(Node):
    persistent = False


def test_another_cache_in_the_same_folder_finds_results(tmp_path: Path) -> None:
    for number, (value, _) in enumerate(SAMPLES.values()):
        disk(tmp_path)[0].put(Entry(str(number), Kept(value=value)))
    cache, warnings = disk(tmp_path)
    for number, (value, _) in enumerate(SAMPLES.values()):
        found = cache.get(str(number), Kept)
        assert isinstance(found, Kept)
        assert serialize(found.value).digest() == serialize(value).digest()
    assert cache.get("unknown", Kept) is None
    assert warnings == []


def test_key_and_input_digest_lead_to_one_value(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    cache.put(Entry("key", Kept(value="x"), input_digest="digest"))
    cache.put(Entry("other", Kept(value="x")))
    assert cache.get("key", Kept) == cache.get("digest", Kept) == cache.get("other", Kept) == Kept(value="x")
    assert len(files(tmp_path / RESULTS)) == 3


def test_what_cannot_be_serialized_or_is_not_worth_it_is_not_kept(tmp_path: Path) -> None:
    cache, warnings = disk(tmp_path, least_seconds=0.001)
    cache.put(Entry("handle", Kept(value=object())))
    cache.put(Entry("quick", Kept(value=1), seconds=0.0009))
    cache.put(Entry("read from a file", Kept(value=1), node_class=Reader))
    assert files(tmp_path) == []
    assert warnings == []


def test_what_an_output_node_wrote_is_known_until_its_run_is_complete(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    cache.put(Entry("save", Kept(value="a.png"), input_digest="saves these pixels", node_class=Writer))
    assert disk(tmp_path)[0].get("save", Kept) == Kept(value="a.png")
    assert cache.get("saves these pixels", Kept) is None
    cache.run_completed(["save"])
    assert cache.get("save", Kept) is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + 8):  # more than a check sum, which not every reader looks at
        data[place] ^= 1
    path.write_bytes(data)


def replace_by_json(path: Path) -> None:
    path.write_text('{"kind": null, "plain": 3, "arrays": {}}')


@pytest.mark.parametrize("damage", [truncate, empty, flip, replace_by_json])
@pytest.mark.parametrize(
    ("name", "where"),
    [
        *[
            (name, VALUES)
            for name in ("a decoded picture", "a picture of 8-bit colours", "a long text", "bfloat16")
        ],
        *[(name, RESULTS) for name in ("a decoded picture", "a text", "a heap")],
    ],
)
def test_a_damaged_file_is_removed_and_reported_once(
    tmp_path: Path, name: str, where: str, damage: Callable[[Path], None]
) -> None:
    cache, warnings = disk(tmp_path)
    result = Kept(value=SAMPLES[name][0])
    cache.put(Entry("key", result))
    [path] = files(tmp_path / where)
    damage(path)
    assert cache.get("key", Kept) is None
    assert cache.get("key", Kept) is None
    assert len(warnings) == 1
    assert path.name in warnings[0]
    assert not path.exists()
    cache.put(Entry("key", result))
    assert cache.get("key", Kept) is not None
    assert len(warnings) == 1


def test_a_file_of_another_result_is_noticed(tmp_path: Path) -> None:
    cache, warnings = disk(tmp_path)
    cache.put(Entry("one", Kept(value=1)))
    [one] = files(tmp_path / RESULTS)
    cache.put(Entry("two", Kept(value=2)))
    [two] = [path for path in files(tmp_path / RESULTS) if path != one]
    two.write_bytes(one.read_bytes())
    assert cache.get("two", Kept) is None
    assert len(warnings) == 1
    for text in ("1", "2"):
        cache.put(Entry(text, Kept(value=text * 5_000)))
    first, second = files(tmp_path / VALUES)
    second.write_bytes(first.read_bytes())
    assert [cache.get(key, Kept) for key in ("1", "2")].count(None) == 1
    assert len(warnings) == 2


def test_a_result_of_another_class_is_removed(tmp_path: Path) -> None:
    cache, warnings = disk(tmp_path)
    cache.put(Entry("key", Kept(value="five")))
    assert cache.get("key", Number) is None
    assert len(warnings) == 1


def test_results_of_other_versions_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, warnings = disk(tmp_path)
    cache.put(Entry("key", Kept(value=1)))
    monkeypatch.setattr("run_graph.runtime.cache.disk.environment_digest", lambda: "the next release")
    assert cache.get("key", Kept) is None
    assert warnings == []


def test_the_least_recently_used_are_evicted_first(tmp_path: Path) -> None:
    cache, warnings = disk(tmp_path, limit=60_000)
    for number in range(4):
        cache.put(Entry(str(number), Kept(value=str(number) * 8_000)))
    for age, path in enumerate(files(tmp_path)):
        os.utime(path, (age, age))
    assert cache.get("0", Kept) is not None
    for number in (4, 5, 6):
        cache.put(Entry(str(number), Kept(value=str(number) * 8_000)))
    assert sum(path.stat().st_blocks * 512 for path in files(tmp_path)) <= 60_000
    found = {number for number in range(7) if cache.get(str(number), Kept)}
    assert {0, 4, 5, 6} <= found
    assert len(found) < 7
    assert warnings == []


def test_a_folder_that_cannot_be_written_is_reported_once_and_does_not_raise(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache, warnings = disk(tmp_path / "file" / "cache")
    cache.put(Entry("a", Kept(value=1)))
    cache.put(Entry("b", Kept(value=2)))
    assert cache.get("a", Kept) is None
    assert len(warnings) == 1
    assert "--cache-dir" in warnings[0]


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(SaveError, match="other things"):
        disk(tmp_path)[0].store.check()
    with pytest.raises(SaveError, match="it is a file"):
        disk(tmp_path / "thesis.txt")[0].store.check()


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    cache.put(Entry("a", Kept(value=1)))
    left = tmp_path / "new" / ".run-graph-0123456789abcdef.tmp"
    left.write_bytes(b"half")
    cache.put(Entry("b", Kept(value=2)))
    assert not left.exists()


def test_clearing_removes_results_and_nothing_else(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    cache.put(Entry("a", Kept(value=1)))
    (tmp_path / "notes.txt").write_text("mine")
    cache.store.clear()
    assert [path.name for path in files(tmp_path)] == ["notes.txt"]
    assert cache.get("a", Kept) is None
    cache.put(Entry("a", Kept(value=1)))
    assert cache.get("a", Kept) is not None


def test_the_index_names_digests_and_values_are_stored_apart(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    cache.put(Entry("key", Kept(value=SAMPLES["a mask"][0])))
    [path] = files(tmp_path / RESULTS)
    digest = serialize(SAMPLES["a mask"][0]).digest()
    index = json.loads(path.read_bytes().partition(b"\n")[2])
    assert index == {"names": [path.name], "values": {"value": f"{digest}.safetensors"}}
    assert [path.name for path in files(tmp_path / VALUES)] == [f"{digest}.safetensors"]
