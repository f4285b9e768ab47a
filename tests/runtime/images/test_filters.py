"""Blur and sharpening; conformance/ tests ComfyUI's own results."""

import numpy as np

from run_graph.runtime.images.filters import blurred, sharpened

PICTURE = np.random.default_rng(4).random((2, 9, 12, 3), np.float32)


def test_a_blur_is_the_gaussian_mean_of_the_neighbours() -> None:
    distance = np.linspace(-1, 1, 5)
    kernel = np.exp(-np.add.outer(distance**2, distance**2) / (2 * 0.8**2))
    want = (PICTURE[:, 2:7, 3:8] * (kernel / kernel.sum())[:, :, None]).sum(axis=(1, 2))
    np.testing.assert_allclose(blurred(PICTURE, 2, 0.8)[:, 4, 5], want, atol=1e-6)


def test_a_picture_is_mirrored_beyond_its_edges() -> None:
    mirrored = np.pad(PICTURE, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    want = blurred(mirrored, 3, 1)[:, 3:-3, 3:-3]
    np.testing.assert_allclose(blurred(PICTURE, 3, 1), want, atol=1e-6)


def test_a_radius_beyond_the_picture_is_mirrored_again() -> None:
    assert np.isfinite(blurred(PICTURE[:, :2, :1], 31, 10)).all()


def test_sharpening_adds_ten_times_the_difference_from_the_blur_and_clips() -> None:
    want = np.clip(PICTURE + 7 * (PICTURE - blurred(PICTURE, 2, 1)), 0, 1)
    np.testing.assert_allclose(sharpened(PICTURE, 2, 1, 0.7), want, atol=1e-5)
    np.testing.assert_array_equal(sharpened(PICTURE, 2, 1, 0), PICTURE)
