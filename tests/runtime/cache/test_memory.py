"""The result cache: the most recently used results, up to a number of bytes."""

import pytest
from sample_nodes import Image, Kept, Picture

from run_graph.runtime.cache import Entry, MemoryCache, NoCache, size_of


def picture(nbytes: int) -> Picture:
    return Picture(image=Image("p", nbytes))


ROOM = size_of(picture(1000))


def test_what_was_put_is_returned_as_it_is() -> None:
    cache, result = MemoryCache(), picture(1000)
    assert cache.get("a") is None
    cache.put(Entry("a", result))
    assert cache.get("a") is result
    assert len(cache) == 1
    assert cache.nbytes == ROOM


def test_the_size_counts_the_values_and_a_little_for_the_objects() -> None:
    assert 1000 < size_of(picture(1000)) < 3000
    assert size_of(picture(10**9)) - size_of(picture(0)) == 10**9
    assert size_of(Kept(value="x" * 10_000)) > 10_000


def test_the_least_recently_used_result_is_evicted_first() -> None:
    cache = MemoryCache(maximum_bytes=3 * ROOM)
    for key in "abc":
        cache.put(Entry(key, picture(1000)))
    assert cache.get("a") is not None
    cache.put(Entry("d", picture(1000)))
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert cache.nbytes == 3 * ROOM


def test_what_is_used_again_and_again_is_kept() -> None:
    cache = MemoryCache(maximum_bytes=3 * ROOM)
    cache.put(Entry("a", picture(1000)))
    for key in "bcdefgh":
        cache.put(Entry(key, picture(1000)))
        assert cache.get("a") is not None
    assert [key for key in "abcdefgh" if cache.get(key)] == ["a", "g", "h"]


def test_a_result_that_was_used_is_spared_once() -> None:
    cache = MemoryCache(maximum_bytes=3 * ROOM)
    for key in "abc":
        cache.put(Entry(key, picture(1000)))
    assert cache.get("a") is not None
    for key in "def":  # b is evicted, since a is spared; then c; then d
        cache.put(Entry(key, picture(1000)))
    cache.put(Entry("g", picture(1000)))
    assert [key for key in "abcdefg" if cache.get(key)] == ["e", "f", "g"]


def test_as_many_are_evicted_as_make_room() -> None:
    cache = MemoryCache(maximum_bytes=4 * ROOM)
    for key in "abcd":
        cache.put(Entry(key, picture(1000)))
    cache.put(Entry("big", picture(2500 + ROOM - 1000)))
    assert [key for key in ("a", "b", "c", "d", "big") if cache.get(key)] == ["d", "big"]
    assert cache.nbytes <= 4 * ROOM


def test_what_could_never_fit_is_not_kept_and_evicts_nothing() -> None:
    cache = MemoryCache(maximum_bytes=2 * ROOM)
    cache.put(Entry("a", picture(1000)))
    cache.put(Entry("huge", picture(10**6)))
    assert cache.get("huge") is None
    assert cache.get("a") is not None
    assert cache.nbytes == ROOM


def test_putting_a_key_again_replaces_its_result() -> None:
    cache, second = MemoryCache(), picture(2000)
    cache.put(Entry("a", picture(1000)))
    cache.put(Entry("a", second))
    assert cache.get("a") is second
    assert len(cache) == 1
    assert cache.nbytes == size_of(second)


def test_clearing_forgets_everything() -> None:
    cache = MemoryCache()
    cache.put(Entry("a", picture(1000)))
    cache.clear()
    assert (len(cache), cache.nbytes, cache.get("a")) == (0, 0, None)


def test_many_tiny_results_stay_within_the_limit() -> None:
    """Numbers cost their objects: a limit in bytes must not let millions of them through."""
    cache = MemoryCache(maximum_bytes=1_000_000)
    for i in range(10_000):
        cache.put(Entry(str(i), Kept(value=i)))
    assert 200 < len(cache) < 5_000


@pytest.mark.parametrize("key", ["a", "b"])
def test_no_cache_keeps_nothing(key: str) -> None:
    cache = NoCache()
    cache.put(Entry(key, picture(1000)))
    assert cache.get(key) is None
