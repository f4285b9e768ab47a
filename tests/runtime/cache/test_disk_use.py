"""How much of the disk a cache takes: counted rarely, kept in a record, limited by what is really taken."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_samples import Kept, disk, files

from run_graph.runtime.cache import Entry
from run_graph.runtime.cache.blob_store import RESULTS, SNAPSHOTS, VALUES, BlobStore
from run_graph.runtime.cache.disk import DiskCache
from run_graph.runtime.cache.disk_use import DiskUse
from run_graph.runtime.values import Mask

DAY = 24 * 60 * 60


def taken(folder: Path) -> int:
    """Bytes that the files take of the disk; a file with several names takes them once."""
    return sum({path.stat().st_ino: path.stat().st_blocks * 512 for path in files(folder)}.values())


def recorded(folder: Path) -> int | None:
    return DiskUse(folder / "disk-use").add(0)


def mask(seed: int, side: int = 40) -> Mask:
    return Mask(np.random.default_rng(seed).random((1, side, side), dtype=np.float32))


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A list that grows by the folder whenever a cache's files are counted."""
    found: list[Path] = []
    evict = BlobStore.evict

    def noting(self: BlobStore) -> None:
        found.append(self.root)
        evict(self)

    monkeypatch.setattr(BlobStore, "evict", noting)
    return found


def test_a_result_of_small_values_is_one_file_with_two_names(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    cache.put(Entry("key", Kept(value="né" * 100), "digest"))
    assert cache.get("key", Kept) == cache.get("digest", Kept) == Kept(value="né" * 100)
    assert {path.parent.name for path in files(tmp_path)} == {RESULTS}
    assert len({path.stat().st_ino for path in files(tmp_path)}) == 1
    assert taken(tmp_path) <= 4096


def test_a_value_that_two_results_share_is_stored_once(tmp_path: Path) -> None:
    cache, _ = disk(tmp_path)
    for key in ("one", "two"):
        cache.put(Entry(key, Kept(value=mask(0)), f"digest of {key}"))
    assert len(files(tmp_path / VALUES)) == 1
    assert len(files(tmp_path / RESULTS)) == 4


def test_where_files_have_one_name_there_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    cache, warnings = disk(tmp_path)
    for value in (1, 2):
        cache.put(Entry("key", Kept(value=value), "digest"))
        assert cache.get("key", Kept) == cache.get("digest", Kept) == Kept(value=value)
    assert recorded(tmp_path) == taken(tmp_path)
    assert warnings == []


def test_what_another_process_links_or_removes_meanwhile_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, warnings = disk(tmp_path)
    link = os.link

    def twice(source: Any, target: Any) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    cache.put(Entry("key", Kept(value=1), "digest"))
    assert cache.get("digest", Kept) == Kept(value=1)

    def after_removal(source: Path, target: Any) -> None:
        source.unlink()
        link(source, target)

    monkeypatch.setattr(os, "link", after_removal)
    cache.put(Entry("other", Kept(value=2), "other digest"))
    assert cache.get("other digest", Kept) is None
    assert warnings == []


@pytest.mark.parametrize("seed", range(5))
def test_the_record_says_what_is_taken_whatever_is_done(tmp_path: Path, seed: int) -> None:
    cache, _ = disk(tmp_path)
    chance = random.Random(seed)
    for step in range(60):
        key = str(chance.randrange(8))
        action = chance.randrange(5)
        if action == 0:
            cache.put(Entry(key, Kept(value=chance.choice(["x", "y" * 9_000])), f"digest {key}"))
        elif action == 1:
            cache.put(Entry(key, Kept(value=mask(chance.randrange(4))), f"digest {key}"))
        elif action == 2:
            cache.run_completed([key])
        elif action == 3:
            snapshot = cache.snapshot(key)
            snapshot.save({"step": "z" * chance.randrange(20_000)})
            if chance.random() < 0.5:
                snapshot.drop()
        else:
            cache.get(key, Kept)
        assert step < 5 or recorded(tmp_path) in (None, taken(tmp_path))
    assert recorded(tmp_path) == taken(tmp_path)
    usage = cache.store.usage()
    assert usage.disk_bytes == taken(tmp_path)
    assert usage.results == len({path.stat().st_ino for path in files(tmp_path / RESULTS)})


def test_only_the_first_process_of_a_day_counts_the_files(
    tmp_path: Path, walks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        disk(tmp_path)[0].put(Entry(str(number), Kept(value=mask(number))))
    assert walks == [tmp_path]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + DAY - 60)
    disk(tmp_path)[0].put(Entry("later", Kept(value=1)))
    assert len(walks) == 1
    monkeypatch.setattr(time, "time", lambda: now + DAY + 60)
    for _ in range(2):
        disk(tmp_path)[0].put(Entry("the next day", Kept(value=1)))
    assert len(walks) == 2
    monkeypatch.setattr(time, "time", lambda: now - DAY)
    for _ in range(2):
        disk(tmp_path)[0].put(Entry("the clock was set back", Kept(value=1)))
    assert len(walks) == 3
    assert recorded(tmp_path) == taken(tmp_path)


def missing(record: Path) -> None:
    record.unlink()


def empty(record: Path) -> None:
    record.write_bytes(b"")


def torn(record: Path) -> None:
    record.write_bytes(record.read_bytes()[:7])


def other(record: Path) -> None:
    record.write_bytes(b'{"a": "b"}')


def binary(record: Path) -> None:
    record.write_bytes(bytes(range(128, 256)))


@pytest.mark.parametrize("damage", [missing, empty, torn, other, binary])
def test_a_record_that_cannot_be_read_is_made_again(
    tmp_path: Path, walks: list[Path], damage: Callable[[Path], None]
) -> None:
    cache, warnings = disk(tmp_path)
    cache.put(Entry("one", Kept(value=mask(1))))
    damage(tmp_path / "disk-use")
    cache.put(Entry("two", Kept(value=mask(2))))
    disk(tmp_path)[0].put(Entry("three", Kept(value=mask(3))))
    assert len(walks) == 2
    assert recorded(tmp_path) == taken(tmp_path)
    assert warnings == []


def test_where_no_record_can_be_kept_the_files_are_counted_once_a_process(
    tmp_path: Path, walks: list[Path]
) -> None:
    (tmp_path / "disk-use").mkdir()
    cache, warnings = disk(tmp_path)
    for number in range(5):
        cache.put(Entry(str(number), Kept(value=number)))
        assert cache.get(str(number), Kept) == Kept(value=number)
    assert len(walks) == 1
    assert warnings == []


def test_processes_that_write_at_once_record_every_byte(tmp_path: Path) -> None:
    DiskUse(tmp_path / "disk-use").set(1000, None)

    def add() -> None:
        record = DiskUse(tmp_path / "disk-use")
        for _ in range(200):
            record.add(7)

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded(tmp_path) == 1000 + 6 * 200 * 7


def test_what_others_write_during_a_count_is_not_forgotten(tmp_path: Path) -> None:
    record = DiskUse(tmp_path / "disk-use")
    record.set(1000, None)
    before = record.add(0)
    DiskUse(tmp_path / "disk-use").add(50)
    record.set(2000, before)
    assert recorded(tmp_path) == 2050


def test_the_limit_is_what_small_files_take_of_the_disk(tmp_path: Path, walks: list[Path]) -> None:
    cache, warnings = disk(tmp_path, limit=200_000)
    for number in range(200):
        cache.put(Entry(str(number), Kept(value=number), f"digest {number}"))
        assert taken(tmp_path) <= 200_000
    assert sum(path.stat().st_size for path in files(tmp_path)) < 50_000
    assert cache.get("199", Kept) == cache.get("digest 199", Kept) == Kept(value=199)
    assert cache.get("0", Kept) is None
    assert 20 < len({path.stat().st_ino for path in files(tmp_path)}) < 50
    assert len(walks) < 40, "eviction makes room for more than one file"
    assert warnings == []


def test_two_processes_keep_one_limit(tmp_path: Path) -> None:
    caches = [disk(tmp_path, limit=100_000)[0] for _ in range(2)]
    for number in range(60):
        caches[number % 2].put(Entry(str(number), Kept(value=mask(number))))
        assert taken(tmp_path) <= 100_000


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A folder with results of an earlier release."""
    disk(tmp_path)[0].put(Entry("tag and folders", Kept(value=1)))
    shutil.rmtree(tmp_path / RESULTS)
    (tmp_path / "disk-use").unlink()
    for kind in ("keys", VALUES, SNAPSHOTS):
        (tmp_path / kind).mkdir(exist_ok=True)
        for number in range(3):
            (tmp_path / kind / f"{number}{'0' * 63}").write_bytes(b"as an earlier release wrote it")
    return tmp_path


def test_what_an_earlier_release_kept_is_removed_without_a_word(former: Path) -> None:
    cache, warnings = disk(former)
    cache.store.check()
    assert cache.get("key", Kept) is None
    cache.put(Entry("key", Kept(value=1)))
    assert cache.get("key", Kept) == Kept(value=1)
    assert {path.parent.name for path in files(former)} == {RESULTS}
    assert not (former / "keys").exists()
    assert warnings == []


def test_an_earlier_release_in_use_at_the_same_time_loses_nothing_at_once(former: Path) -> None:
    cache, _ = disk(former, limit=60_000)
    cache.put(Entry("key", Kept(value=1)))
    (former / "keys").mkdir()
    old = former / "keys" / ("1" * 64)
    old.write_bytes(b"x" * 10_000)
    os.utime(old, (1, 1))
    disk(former, limit=60_000)[0].put(Entry("other", Kept(value=2)))
    assert old.exists()
    for number in range(40):
        disk(former, limit=60_000)[0].put(Entry(str(number), Kept(value=mask(number))))
    assert not old.exists(), "what was used longest ago is evicted, whoever wrote it"


def test_clearing_removes_what_an_earlier_release_kept(former: Path) -> None:
    disk(former)[0].store.clear()
    assert files(former) == []
    assert not (former / "keys").exists()
    assert not (former / "disk-use").exists()


@pytest.fixture
def large(tmp_path: Path) -> DiskCache:
    cache, _ = disk(tmp_path)
    cache.put(Entry("first", Kept(value=1)))
    source = files(tmp_path / RESULTS)[0].read_bytes()
    for number in range(3_000):
        (tmp_path / RESULTS / f"{number:064}").write_bytes(source)
    return cache


def test_a_process_begins_to_write_as_quickly_in_a_large_cache(large: DiskCache, walks: list[Path]) -> None:
    scans: list[str] = []
    scandir = os.scandir

    def noting(path: Any) -> Any:
        scans.append(Path(path).name)
        return scandir(path)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "scandir", noting)
        disk(large.store.root)[0].put(Entry("another process", Kept(value=2)))
    assert walks == []
    assert set(scans) == {"new"}
