"""Token-grid resizing equals torch's interpolate: by golden arrays, by torch itself, by its properties."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.images.choices import KERNELS
from run_graph.runtime.images.interpolation import resize_matrix
from run_graph.runtime.networks.token_counts import MODES, grid_for_factor, grid_for_mode
from run_graph.runtime.networks.token_grid import resize_grid

TOLERANCE = 1e-5  # absolute, on values of standard deviation 1
SIDES = range(1, 33)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "golden" / "resample.npz") as arrays:
        return dict(arrays)


def resized(tokens: np.ndarray, n: int, kernel: str) -> np.ndarray:
    return np.array(resize_grid(mx.array(tokens), n, kernel))


def random_tokens(m: int, width: int = 3, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(m).standard_normal((batch, m * m, width)).astype(np.float32)


@pytest.mark.parametrize("m", [27, 32])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_mode_and_factor_equals_the_golden_arrays_of_torch(
    golden: dict[str, np.ndarray], m: int, kernel: str
) -> None:
    factors = [tenths / 10 for tenths in range(10, 91)]
    sides = {grid_for_factor(factor, m) for factor in factors} | {grid_for_mode(mode, m) for mode in MODES}
    for n in sides:
        got = resized(golden[f"{m}"], n, kernel)
        np.testing.assert_allclose(got, golden[f"{m} {kernel} {n}"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("m", [1, 2, 5, 27, 32])
def test_any_side_equals_torch_smaller_or_larger(m: int, kernel: str) -> None:
    torch = pytest.importorskip("torch", reason="parity oracle: torch.nn.functional.interpolate")
    tokens = random_tokens(m)
    grid = torch.from_numpy(tokens).reshape(1, m, m, 3).permute(0, 3, 1, 2)
    for n in SIDES:
        want = torch.nn.functional.interpolate(grid, size=(n, n), mode=kernel)
        want = want.permute(0, 2, 3, 1).reshape(1, n * n, 3).numpy()
        np.testing.assert_allclose(resized(tokens, n, kernel), want, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_constant_grid_stays_constant(kernel: str) -> None:
    for n in SIDES:
        np.testing.assert_allclose(resize_matrix(27, n, kernel).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_resizing_is_linear_in_the_tokens(kernel: str) -> None:
    a, b = random_tokens(27), random_tokens(27)[:, ::-1].copy()
    want = 2 * resized(a, 9, kernel) - 3 * resized(b, 9, kernel)
    np.testing.assert_allclose(resized(2 * a - 3 * b, 9, kernel), want, atol=TOLERANCE)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_side_returns_the_tokens_unchanged(kernel: str) -> None:
    tokens = mx.array(random_tokens(27))
    assert resize_grid(tokens, 27, kernel) is tokens


@pytest.mark.parametrize("kernel", KERNELS)
def test_transposing_the_picture_transposes_the_result(kernel: str) -> None:
    tokens = random_tokens(27).reshape(1, 27, 27, 3)
    flipped = resized(tokens.swapaxes(1, 2).reshape(1, 729, 3), 13, kernel).reshape(1, 13, 13, 3)
    straight = resized(tokens.reshape(1, 729, 3), 13, kernel).reshape(1, 13, 13, 3)
    np.testing.assert_allclose(flipped.swapaxes(1, 2), straight, atol=TOLERANCE)


def test_area_by_a_divisor_is_the_plain_mean_of_blocks() -> None:
    tokens = random_tokens(27)
    blocks = tokens.reshape(9, 3, 9, 3, 3).mean(axis=(1, 3)).reshape(1, 81, 3)
    np.testing.assert_allclose(resized(tokens, 9, "area"), blocks, atol=1e-6)


def test_each_picture_of_a_batch_is_resized_alone() -> None:
    tokens = random_tokens(27, batch=2)
    both = resized(tokens, 6, "bicubic")
    assert both.shape == (2, 36, 3)
    np.testing.assert_allclose(both[1:], resized(tokens[1:], 6, "bicubic"), atol=1e-6)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
def test_the_tokens_keep_their_dtype_and_lose_only_its_rounding(dtype: mx.Dtype) -> None:
    tokens = mx.array(random_tokens(27)).astype(dtype)
    small = resize_grid(tokens, 9, "area")
    assert small.dtype == dtype
    exact = resize_grid(tokens.astype(mx.float32), 9, "area").astype(dtype)
    assert mx.array_equal(small, exact)


def test_a_token_count_that_is_no_square_is_refused() -> None:
    with pytest.raises(ValueError, match="730 tokens do not form a square grid"):
        resize_grid(mx.zeros((1, 730, 4)), 9)


def test_tokens_without_a_batch_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="batch, tokens, width"):
        resize_grid(mx.zeros((729, 4)), 9)


def test_a_side_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 token"):
        resize_grid(mx.zeros((1, 729, 4)), 0)


def test_an_unknown_kernel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'lanczos' is unknown.*nearest-exact"):
        resize_grid(mx.zeros((1, 729, 4)), 27, "lanczos")
