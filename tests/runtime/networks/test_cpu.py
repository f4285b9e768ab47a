"""Arranging products for the CPU changes their speed alone."""

import warnings

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from run_graph.runtime.networks import cpu
from run_graph.runtime.networks.attention import merge_heads


@pytest.fixture(params=[True, False], ids=["cpu", "gpu"])
def on_cpu(request, monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: request.param)
    return request.param


@pytest.mark.parametrize("bias", [True, False])
def test_a_replaced_layer_keeps_its_weights_and_its_results(on_cpu, bias):
    mx.random.seed(0)
    module = nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 64, bias=bias))
    x, weight = mx.random.normal((2, 3, 64)), module.layers[0].weight
    before = np.array(module(x))
    cpu.use_numpy_linears(module)
    assert isinstance(module.layers[0], cpu.NumpyLinear) == on_cpu
    assert module.layers[0].weight is weight
    np.testing.assert_allclose(np.array(module(x)), before, atol=1e-5)


def test_a_replaced_layer_computes_in_half_precision_as_mlx_does(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    module = nn.Sequential(nn.Linear(64, 32))
    module.set_dtype(mx.bfloat16)
    x = mx.random.normal((3, 64), key=mx.random.key(0)).astype(mx.bfloat16)
    before = module(x)
    cpu.use_numpy_linears(module)
    assert module(x).dtype == mx.bfloat16
    assert mx.array_equal(module(x), before).item()


def test_arranging_leaves_quantised_layers_alone(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    module = nn.Sequential(nn.Linear(64, 128))
    nn.quantize(module, bits=4)
    packed = module.layers[0].weight
    cpu.use_numpy_linears(module)
    assert module.layers[0].weight is packed
    assert type(module.layers[0]) is nn.QuantizedLinear


@pytest.mark.parametrize("mask_shape", [None, (300, 310), (2, 1, 1, 310), (1, 3, 300, 310)])
def test_attention_equals_mlx(on_cpu, mask_shape):
    keys = mx.random.split(mx.random.key(1), 4)
    q = 3 * mx.random.normal((2, 300, 3, 8), key=keys[0]).transpose(0, 2, 1, 3)
    k, v = (mx.random.normal((2, 3, 310, 8), key=key) for key in keys[1:3])
    mask = None if mask_shape is None else mx.random.normal(mask_shape, key=keys[3])
    result = cpu.attention(q, k, v, 0.7, mask)
    if not on_cpu:
        assert result is None
        return
    expected = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.7, mask=mask)
    np.testing.assert_allclose(np.array(result), np.array(merge_heads(expected)), atol=1e-5)


def test_attention_of_large_logits_does_not_overflow(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    q = mx.full((1, 1, 4, 8), 100.0)
    result = cpu.attention(q, q, q, 1.0, None)
    assert mx.allclose(result, merge_heads(q)).item()


def test_causal_and_half_precision_attention_is_left_to_mlx(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    q = mx.ones((1, 1, 4, 8))
    assert cpu.attention(q, q, q, 1.0, "causal") is None
    q = q.astype(mx.bfloat16)
    assert cpu.attention(q, q, q, 1.0, None) is None


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 4, 1), (3, 8, 5), (40, 16, 37)])
def test_a_product_in_parts_equals_the_product(monkeypatch, rows, inputs, outputs):
    monkeypatch.setattr(cpu, "WORTH_SHARING", 0)
    monkeypatch.setattr(cpu, "WIDE", 8)
    rng = np.random.default_rng(0)
    a, b = rng.random((rows, inputs), np.float32), rng.random((outputs, inputs), np.float32).T
    result = np.full((rows, outputs), np.nan, np.float32)
    cpu.multiply(a, b, result)
    np.testing.assert_allclose(result, a.astype(np.float64) @ b, rtol=1e-6)


@pytest.mark.parametrize("slope", [1.0, 1.702])
def test_swish_is_exact_over_the_whole_range_and_never_warns(monkeypatch, slope):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    monkeypatch.setattr(cpu, "PIECE", 7)
    x = np.array([-3e38, -1e4, -200, -88, *np.linspace(-20, 20, 101), 88, 1e4, 3e38], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = np.array(cpu.swish(mx.array(x), slope))
    with np.errstate(over="ignore"):
        expected = x / (1 + np.exp(-slope * x.astype(np.float64)))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-37)


def test_gelu_is_exact_over_the_whole_range_and_never_warns(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    x = np.array([-3e38, -1e4, -200, *np.linspace(-20, 20, 101), 1e4, 3e38], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = np.array(cpu.gelu_tanh(mx.array(x)))
    wide = x.astype(np.float64)
    expected = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
