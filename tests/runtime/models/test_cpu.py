"""Arranging products for the CPU changes their speed alone."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from runtime.models import cpu


@pytest.fixture(params=[True, False], ids=["cpu", "gpu"])
def on_cpu(request, monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: request.param)
    return request.param


@pytest.mark.parametrize(("channels", "outputs"), [(16, 32), (32, 3)])
def test_convolution_equals_mlx(channels, outputs, on_cpu):
    layer = nn.Conv2d(channels, outputs, kernel_size=3, padding=1)
    x = mx.random.normal((2, 5, 7, channels), key=mx.random.key(0))
    result = cpu.convolve(layer, x)
    assert result.shape == (2, 5, 7, outputs)
    np.testing.assert_allclose(np.array(result), np.array(layer(x)), atol=1e-5)


def test_arranging_keeps_weights_and_results(on_cpu):
    mx.random.seed(0)
    module = nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 64, bias=False))
    x = mx.random.normal((3, 64))
    before, weight = np.array(module(x)), np.array(module.layers[0].weight)
    cpu.arrange(module)
    assert module.layers[0].weight.shape == (128, 64)
    np.testing.assert_array_equal(np.array(module.layers[0].weight), weight)
    np.testing.assert_allclose(np.array(module(x)), before, atol=1e-5)


def test_arranging_leaves_quantised_layers_alone(monkeypatch):
    monkeypatch.setattr(cpu, "on_cpu", lambda: True)
    module = nn.Sequential(nn.Linear(64, 128))
    nn.quantize(module, bits=4)
    packed = module.layers[0].weight
    cpu.arrange(module)
    assert module.layers[0].weight is packed
