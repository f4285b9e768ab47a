"""GGUF's blocks, decoded and packed: the `gguf` package decodes them to the same weights."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gguf_samples import blocks, decode, write_gguf

from run_graph.runtime.models.layouts import gguf_blocks
from run_graph.runtime.models.layouts.gguf_blocks import decoded, pack, packed
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES, GROUP

ROWS, COLUMNS = 6, 1024
EXACT = [kind for kind, block in BLOCK_TYPES.items() if block.is_exact]
REPACKED = [kind for kind, block in BLOCK_TYPES.items() if not block.is_exact]


def content_of(rows: Any) -> mx.array:
    return mx.array(rows.reshape(-1))


def unpacked(rows: Any, kind: str) -> np.ndarray:
    found = packed(content_of(rows), kind, len(rows))
    return np.array(mx.dequantize(*found, group_size=GROUP, bits=BLOCK_TYPES[kind].bits))


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_floats_are_those_of_llama_cpp(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_blocks, "LARGEST_PIECE", 2048)
    rows = blocks(kind, ROWS, COLUMNS)
    found = decoded(content_of(rows), kind, (ROWS, COLUMNS))
    np.testing.assert_allclose(np.array(found), decode(rows, kind), rtol=2**-23, atol=0)


@pytest.mark.parametrize("kind", EXACT)
def test_packed_weights_are_those_of_the_file(kind: str) -> None:
    rows = blocks(kind, ROWS, COLUMNS, seed=1)
    expected = decode(rows, kind)
    np.testing.assert_allclose(unpacked(rows, kind), expected, rtol=0, atol=2**-22 * np.abs(expected).max())


@pytest.mark.parametrize("kind", EXACT)
def test_packed_weights_stay_near_in_bfloat16(kind: str) -> None:
    """As on a GPU, where scales and offsets are rounded to it."""
    rows = blocks(kind, ROWS, COLUMNS, seed=2)
    weight, scales, biases = packed(content_of(rows), kind, ROWS)
    halves = scales.astype(mx.bfloat16), biases.astype(mx.bfloat16)
    found = mx.dequantize(weight, *halves, group_size=GROUP, bits=BLOCK_TYPES[kind].bits)
    expected = decode(rows, kind)
    error = np.array(found.astype(mx.float32)) - expected
    assert np.sqrt((error**2).mean() / (expected**2).mean()) < 2**-7


@pytest.mark.parametrize("kind", REPACKED)
def test_weights_that_are_quantised_again_are_near(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_blocks, "LARGEST_PIECE", 4 * COLUMNS)
    rows = blocks(kind, ROWS, COLUMNS, seed=3)
    expected = decode(rows, kind).reshape(-1, GROUP)
    step = np.ptp(expected, axis=1, keepdims=True) / (2 ** BLOCK_TYPES[kind].bits - 1)
    error = np.abs(unpacked(rows, kind).reshape(-1, GROUP) - expected)
    # MLX moves the scale a little so that 0 is a code, which may cost one more half at the ends.
    assert (error <= 1.05 * step).all()
    assert error.mean() < 0.3 * step.mean()


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_codes_are_packed_as_mlx_packs_them(bits: int) -> None:
    codes = np.random.default_rng(0).integers(0, 2**bits, (3, 64), dtype=np.uint8)
    ones, zeros = mx.ones((3, 2)), mx.zeros((3, 2))
    found = mx.dequantize(pack(mx.array(codes), bits), ones, zeros, group_size=GROUP, bits=bits)
    np.testing.assert_array_equal(np.array(found), codes)


def test_mlx_still_misreads_q4_k(tmp_path: Path) -> None:
    """Why files are not read with `mx.load`. When this fails, it may be."""
    rows = blocks("Q4_K", ROWS, COLUMNS)
    path = write_gguf(tmp_path / "k.gguf", {"weight": (rows, "Q4_K")})
    loaded: Any = mx.load(str(path))
    found = np.array(loaded["weight"].astype(mx.float32))
    expected = decode(rows, "Q4_K")
    assert found.shape == expected.shape
    wrong = np.abs(found - expected) > 0.1 * np.abs(expected)
    assert wrong.mean() > 0.25, "a quarter of the weights and more are off by a tenth and more"
    ours = decoded(content_of(rows), "Q4_K", expected.shape)
    np.testing.assert_allclose(np.array(ours), expected, rtol=2**-23)
