"""Activations against their formulas, and the compiled form against the plain one."""

import math

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.networks import elementwise, rope

X = np.linspace(-6, 6, 241)


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"),
    [
        ("gelu", X * normal_cdf(X), 1e-6),
        ("gelu_new", X * normal_cdf(X), 1e-3),
        ("gelu_pytorch_tanh", 0.5 * X * (1 + np.tanh((2 / np.pi) ** 0.5 * (X + 0.044715 * X**3))), 1e-6),
        ("quick_gelu", X / (1 + np.exp(-1.702 * X)), 1e-6),
        ("silu", X / (1 + np.exp(-X)), 1e-6),
    ],
)
def test_activations_follow_their_formulas(name, expected, tolerance):
    np.testing.assert_allclose(
        np.array(elementwise.activation(name)(mx.array(X))), expected, atol=tolerance, rtol=0
    )


def test_an_unknown_activation_is_named():
    with pytest.raises(CheckpointError, match=r"activation 'swoosh', which is not one of gelu, "):
        elementwise.activation("swoosh")


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_the_dtype_is_kept(dtype):
    x = mx.ones((1, 3, 8), dtype=dtype)
    part = mx.ones((1, 1, 8), dtype=dtype)
    for name in ("gelu", "gelu_new", "quick_gelu", "silu"):
        assert elementwise.activation(name)(x).dtype == dtype
    assert elementwise.modulate(x, part, part).dtype == dtype
    assert elementwise.gated_add(x, part, x).dtype == dtype


def test_compiling_for_any_shape_changes_nothing():
    """What `fused` does on a GPU, done here on whatever device there is."""
    modulate = mx.compile(elementwise.modulate, shapeless=True)
    for shape in [(1, 5, 8), (2, 3, 16)]:
        x = mx.random.normal(shape, key=mx.random.key(0))
        shift, scale = mx.random.normal((2, shape[0], 1, shape[2]), key=mx.random.key(1))
        assert mx.allclose(modulate(x, shift, scale), elementwise.modulate(x, shift, scale)).item()


def test_compiling_the_rotation_changes_nothing():
    rotate = mx.compile(rope._rotate)
    for length, width in [(6, 16), (12, 32)]:
        x = mx.random.normal((2, 3, length, width), key=mx.random.key(0))
        cos, sin = rope.rotations(rope.image_positions((2, length // 2)), (0, width // 2, width // 2))
        assert mx.allclose(rotate(x, cos, sin), rope.rotate(x, cos, sin), atol=1e-6).item()
