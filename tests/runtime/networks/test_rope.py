"""Rotary embedding: positions, angles, and the properties attention relies on."""

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.networks.rope import image_positions, positions, rotate, rotations

AXES = (4, 6, 6)


def test_text_stands_at_the_origin_and_the_image_is_row_major():
    expected = [[0, 0, 0]] * 2 + [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    assert positions(2, image_positions((2, 3))).tolist() == expected


def test_angles_follow_the_formula():
    cos, sin = rotations(np.array([[0, 3, 5]]), AXES)
    angles = [0, 0, 3, 3 * 10_000 ** (-1 / 3), 3 * 10_000 ** (-2 / 3)]
    angles += [5, 5 * 10_000 ** (-1 / 3), 5 * 10_000 ** (-2 / 3)]
    np.testing.assert_allclose(np.array(cos)[0], np.cos(angles), atol=1e-7)
    np.testing.assert_allclose(np.array(sin)[0], np.sin(angles), atol=1e-7)


def test_adjacent_channels_turn_together():
    x = mx.array([[[[1.0, 0.0, 0.0, 1.0]]]])
    cos, sin = mx.array([[0.0, 0.6]]), mx.array([[1.0, 0.8]])
    np.testing.assert_allclose(np.array(rotate(x, cos, sin))[0, 0, 0], [0, 1, -0.8, 0.6], atol=1e-7)


@pytest.mark.parametrize("shift", [1, 7])
def test_logits_depend_on_distance_alone(shift):
    q, k = mx.random.normal((2, 1, 1, 6, 16), key=mx.random.key(0))
    here = image_positions((2, 3))

    def logits(position: np.ndarray) -> np.ndarray:
        cos, sin = rotations(position, AXES)
        return np.array(rotate(q, cos, sin) @ rotate(k, cos, sin).transpose(0, 1, 3, 2))

    np.testing.assert_allclose(logits(here), logits(here + shift), atol=1e-5)
    assert np.abs(logits(here) - logits(here * 2)).max() > 0.1


def test_text_is_not_turned_and_the_dtype_is_kept():
    x = mx.random.normal((1, 2, 4, 16), key=mx.random.key(0)).astype(mx.bfloat16)
    turned = rotate(x, *rotations(positions(4, image_positions((0, 0))), AXES))
    assert turned.dtype == mx.bfloat16
    assert mx.array_equal(turned, x).item()
