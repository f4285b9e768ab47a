"""Convolutions in bands on the CPU give what MLX's give on the whole picture."""

import tracemalloc
import warnings

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from run_graph.runtime.networks import convolution, cpu, cpu_convolution
from run_graph.runtime.networks.convolution import GroupNorm, Skip, convolve, group_norm

CHANNELS = 16


@pytest.fixture(autouse=True)
def _cpu(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)


def noise(*shape, seed=0):
    return mx.random.normal(shape, key=mx.random.key(seed))


def plain(layer, x, **options):
    """The same by MLX alone, as on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "on_cpu", lambda: False)
        return convolve(layer, x, **options)


def assert_equal(result, expected):
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(np.array(result), np.array(expected), atol=2e-5)


def conv(channels=CHANNELS, outputs=CHANNELS, *, stride=1):
    mx.random.seed(3)
    return nn.Conv2d(channels, outputs, kernel_size=3, stride=stride, padding=2 - stride)


def norm():
    return GroupNorm(noise(CHANNELS, seed=1), noise(CHANNELS, seed=2), groups=4)


@pytest.mark.parametrize("band", [1, 20, 4096])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (5, 1), (5, 7), (8, 6)])
@pytest.mark.parametrize("resize", [None, "double"])
def test_of_any_size_and_in_bands_of_any_height(monkeypatch, band, height, width, resize):
    monkeypatch.setattr(cpu_convolution, "BAND", band)
    layer, x = conv(), noise(2, height, width, CHANNELS)
    assert_equal(convolve(layer, x, resize=resize), plain(layer, x, resize=resize))


@pytest.mark.parametrize("band", [1, 6, 4096])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 8), (10, 6)])
def test_halving_reads_one_row_and_column_beyond_the_far_edges(monkeypatch, band, height, width):
    monkeypatch.setattr(cpu_convolution, "BAND", band)
    layer, x = conv(stride=2), noise(2, height, width, CHANNELS)
    assert_equal(convolve(layer, x, resize="halve"), plain(layer, x, resize="halve"))


@pytest.mark.parametrize("outputs", [3, CHANNELS, 24])
@pytest.mark.parametrize(("resize", "size"), [(None, (10, 8)), ("double", (20, 16)), ("halve", (5, 4))])
def test_with_a_norm_before_and_a_residual_connection_after(monkeypatch, outputs, resize, size):
    monkeypatch.setattr(cpu_convolution, "BAND", 20)
    layer = conv(outputs=outputs, stride=2 if resize == "halve" else 1)
    x = noise(2, 10, 8, CHANNELS)
    for skip in [None, Skip(noise(2, *size, outputs)), Skip(noise(2, *size, 8), nn.Conv2d(8, outputs, 1))]:
        options = {"norm": norm(), "resize": resize, "skip": skip}
        assert_equal(convolve(layer, x, **options), plain(layer, x, **options))


@pytest.mark.parametrize("chunk", [CHANNELS, 50, 2**17])
@pytest.mark.parametrize("mean", [0, 1000])
def test_the_norm_is_exact_for_any_mean(monkeypatch, chunk, mean):
    monkeypatch.setattr(cpu_convolution, "CHUNK", chunk)
    x = np.array(noise(9 * 7, CHANNELS)) + np.float32(mean)
    exact = x.astype(np.float64).reshape(-1, 4, CHANNELS // 4)
    means, variances = cpu_convolution._moments(x, groups=4)
    np.testing.assert_allclose(means, np.repeat(exact.mean(axis=(0, 2)), 4), atol=1e-7 * mean + 1e-7)
    np.testing.assert_allclose(variances, np.repeat(exact.var(axis=(0, 2)), 4), rtol=1e-4)


def test_very_dark_values_raise_no_warning():
    layer, x = conv(), -1e4 * mx.abs(noise(1, 4, 4, CHANNELS))
    weights = norm()._replace(weight=1e3 * mx.ones(CHANNELS))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = convolve(layer, x, norm=weights)
    np.testing.assert_allclose(
        np.array(result), np.array(plain(layer, x, norm=weights)), rtol=1e-3, atol=1e-2
    )


def test_half_precision_is_left_to_mlx():
    layer, x = conv(), noise(1, 4, 4, CHANNELS).astype(mx.bfloat16)
    layer.set_dtype(mx.bfloat16)
    assert convolve(layer, x).dtype == mx.bfloat16
    assert mx.array_equal(convolve(layer, x), layer(x)).item()


def test_beyond_the_result_it_takes_little_memory(monkeypatch):
    monkeypatch.setattr(cpu_convolution, "BAND", 128)
    monkeypatch.setattr(cpu_convolution, "CHUNK", 4096)
    monkeypatch.setattr(cpu, "HANDED_OVER", 0)  # The result is MLX's memory, which is not counted.
    layer, x = conv(), noise(1, 128, 128, CHANNELS)
    options = {"norm": norm(), "skip": Skip(x)}
    mx.eval(x)
    tracemalloc.start()
    try:
        convolve(layer, x, **options)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 4


def test_the_norm_of_a_picture_does_not_depend_on_others_in_the_batch():
    layer, x = conv(), noise(3, 6, 6, CHANNELS)
    together = convolve(layer, x, norm=norm())
    for index in range(3):
        alone = convolve(layer, x[index : index + 1], norm=norm())
        assert mx.array_equal(alone[0], together[index]).item()


def test_a_norm_is_group_norm_over_all_positions():
    x, weights = noise(2, 3, 5, CHANNELS), norm()
    values = np.array(x, np.float64).reshape(2, 15, 4, 4)
    centred = values - values.mean(axis=(1, 3), keepdims=True)
    normed = centred / np.sqrt(values.var(axis=(1, 3), keepdims=True) + convolution.NORM_EPS)
    expected = normed.reshape(x.shape) * np.array(weights.weight) + np.array(weights.bias)
    np.testing.assert_allclose(np.array(group_norm(x, weights)), expected, atol=1e-5)


@pytest.fixture
def freed_arrays_are_kept():
    """As by default, whatever limit another test has set."""
    before = mx.set_cache_limit(2**30)
    yield
    mx.set_cache_limit(before)


@pytest.mark.parametrize(("resize", "stride"), [("double", 1), ("halve", 2)])
def test_arrays_of_the_last_size_are_not_kept_when_another_size_begins(resize, stride, freed_arrays_are_kept):
    layer, x = conv(stride=stride), noise(1, 8, 8, CHANNELS)
    freed = mx.zeros((2**20,))
    mx.eval(layer.parameters(), x, freed)
    del freed
    assert mx.get_cache_memory() >= 2**22
    convolve(layer, x, resize=resize)
    assert mx.get_cache_memory() < 2**20
