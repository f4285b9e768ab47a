"""Values survive being stored to the bit, and a damaged file is never taken for a value."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from cache_samples import EIGHT_BITS, VALUES, colours

from run_graph.runtime.cache.file_formats import decode, encode
from run_graph.runtime.cache.serialization import NotSerializable, deserialize, digest_of, serialize
from run_graph.runtime.generation import PictureFile
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.handles import Flux
from run_graph.runtime.values import ArrayValue, Image

CASES = [pytest.param(value, suffix, id=name) for name, (value, suffix) in VALUES.items()]


@pytest.mark.parametrize(("value", "suffix"), CASES)
def test_a_value_comes_back_to_the_bit(value: Any, suffix: str) -> None:
    parts = serialize(value)
    used, data = encode(parts)
    again = deserialize(decode(used, data))
    assert used == suffix
    assert type(again) is type(value)
    assert digest_of(again) == digest_of(value)
    assert_same(again, value)


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, tuple):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
        return
    if isinstance(one, mx.array):
        assert bool((one == other).all())
        return
    if not isinstance(one, ArrayValue):
        assert one == other
        return
    for name, item in vars(one).items():
        theirs = getattr(other, name)
        assert type(item) is type(theirs)
        if isinstance(item, mx.array):
            assert item.dtype == theirs.dtype
            assert item.shape == theirs.shape
            assert bool((item == theirs).all())
        elif isinstance(item, np.ndarray):
            assert (item.dtype, item.shape, item.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())
        else:
            assert_same(item, theirs)


@pytest.mark.parametrize(("value", "suffix"), CASES)
def test_a_damaged_file_is_never_taken_for_the_value(value: Any, suffix: str) -> None:
    """Bits that a decoder ignores may flip; the result is then still the value."""
    parts = serialize(value)
    _, data = encode(parts)
    for at in range(0, len(data), max(1, len(data) // 60)):
        assert_refused_or_same(suffix, data[:at], parts.digest())
        flipped = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        assert_refused_or_same(suffix, flipped, parts.digest())


def assert_refused_or_same(suffix: str, data: bytes, digest: str) -> None:
    try:
        decoded = decode(suffix, data)
    except ValueError:
        return
    if decoded.digest() == digest:
        assert digest_of(deserialize(decoded)) == digest


def test_all_values_have_different_digests() -> None:
    values = [value for value, _ in VALUES.values()]
    values += [1, 1.0, "1", [1], (1,), {"1": 1}, False, 0, "", [], {}, -0.0, 0.0]
    values += [replace(VALUES["a mask"][0], values=colours(1, 2, 3))]
    values += [Image(EIGHT_BITS), Image.from_file(EIGHT_BITS, PictureFile("wolf.png"))]
    digests = [digest_of(value) for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)


@pytest.mark.parametrize("value", [object(), float("nan"), [object()], {1: 2}, {1, 2}])
def test_a_value_that_is_not_plain_has_no_digest(value: Any) -> None:
    with pytest.raises(NotSerializable):
        serialize(value)
    assert digest_of(value) is None


def test_a_model_handle_is_not_written_but_has_a_digest() -> None:
    handle = Flux(Checkpoint("tiny"))
    with pytest.raises(NotSerializable):
        serialize(handle)
    assert digest_of(handle) == digest_of(Flux(Checkpoint("tiny"))) != digest_of(Flux(Checkpoint("tiny"), 4))


def test_a_value_class_that_no_longer_exists_is_an_error() -> None:
    parts = serialize(VALUES["a mask"][0])
    with pytest.raises(ValueError, match="no value class"):
        deserialize(replace(parts, kind="run_graph.runtime.values.Hologram"))
