"""Masks grown, feathered, combined, taken from pictures; conformance/ tests ComfyUI's own results."""

from typing import Any

import numpy as np
import pytest

from run_graph.runtime.images.masks import combined, feathered, grown, of_channel, of_colour, of_outpainting

DOT = np.pad(np.ones((1, 1, 1), np.float32), ((0, 0), (3, 3), (3, 3)))
ROWS, COLUMNS = np.mgrid[-3:4, -3:4]


def full(value: float, height: int = 4, width: int = 6, batch: int = 1) -> np.ndarray:
    return np.full((batch, height, width), value, np.float32)


def test_a_tapered_mask_grows_into_a_diamond_and_another_into_a_square() -> None:
    np.testing.assert_array_equal(grown(DOT, 2, True)[0], abs(ROWS) + abs(COLUMNS) <= 2)
    np.testing.assert_array_equal(grown(DOT, 2, False)[0], np.maximum(abs(ROWS), abs(COLUMNS)) <= 2)


def test_shrinking_is_growing_of_what_is_not_masked_and_the_edge_does_not_eat() -> None:
    soft = np.random.default_rng(0).random((2, 9, 8), np.float32)
    for tapered in (True, False):
        np.testing.assert_allclose(grown(soft, -3, tapered), 1 - grown(1 - soft, 3, tapered), atol=1e-6)
    np.testing.assert_array_equal(grown(full(1), -16384, True), full(1))


def test_growing_by_nothing_changes_nothing() -> None:
    assert grown(DOT, 0, True) is DOT


def test_a_mask_fades_by_whole_steps_from_each_edge() -> None:
    faded = feathered(full(1), 2, 0, 3, 4)
    np.testing.assert_allclose(faded[0, 0], np.array([1 / 2, 1, 1, 1, 2 / 3, 1 / 3]), atol=1e-6)
    np.testing.assert_allclose(faded[0, :, 2], [1, 3 / 4, 2 / 4, 1 / 4], atol=1e-6)


def test_feathers_longer_than_the_mask_end_at_its_far_edge() -> None:
    np.testing.assert_allclose(feathered(full(1), 99, 0, 0, 0)[0, 0], np.arange(1, 7) / 6, atol=1e-6)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("multiply", 0.42), ("add", 1), ("subtract", 0.1), ("and", 1), ("or", 1), ("xor", 0)],
)
def test_what_becomes_of_two_values(operation: Any, expected: float) -> None:
    result = combined(full(0.7), full(0.6, 1, 2), 3, 1, operation)
    np.testing.assert_allclose(result[0, 1, 3:5], expected, atol=1e-6)
    result[0, 1, 3:5] = np.float32(0.7)
    np.testing.assert_array_equal(result, full(0.7))


def test_logical_operations_take_a_half_for_0() -> None:
    assert combined(full(0.5), full(1), 0, 0, "and").max() == 0
    assert combined(full(0.51), full(1), 0, 0, "and").min() == 1


def test_what_does_not_fit_is_left_out() -> None:
    np.testing.assert_array_equal(combined(full(0), full(1, 9, 9), 5, 3, "add").sum(), 1)
    np.testing.assert_array_equal(combined(full(0), full(1), 6, 0, "add"), full(0))


def test_one_mask_is_combined_with_each_of_a_batch() -> None:
    assert combined(full(0, batch=3), full(1), 0, 0, "add").sum() == 3 * 24


@pytest.mark.parametrize(("below", "above", "message"), [(2, 3, "of 2 and 3 do not fit"), (1, 2, "into one")])
def test_batches_that_do_not_fit_are_refused(below: int, above: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combined(full(0, batch=below), full(1, batch=above), 0, 0, "add")


def test_a_colour_is_masked_after_rounding_to_8_bits() -> None:
    pixels = np.array([[[[0.5, 0, 1, 0.1], [0.5, 0, 0.99, 0.1]]]], np.float32)
    np.testing.assert_array_equal(of_colour(pixels, 0x8000FF), [[[1, 0]]])
    np.testing.assert_array_equal(of_colour(np.array([[[[128, 0, 255]]]], np.uint8), 0x8000FF), [[[1]]])


def test_a_channel_is_taken_in_0_to_1() -> None:
    samples = np.array([[[[0, 51, 102, 255]]]], np.uint8)
    assert [of_channel(samples, name).item() for name in ("red", "green", "blue", "alpha")] == [
        0,
        pytest.approx(0.2),
        pytest.approx(0.4),
        1,
    ]


def test_a_missing_alpha_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="no alpha channel"):
        of_channel(np.zeros((1, 2, 2, 3), np.uint8), "alpha")


def test_the_mask_of_outpainting_is_1_outside_and_fades_only_where_the_picture_is_extended() -> None:
    mask = of_outpainting(9, 10, 2, 0, 0, 1, 4)
    assert mask.shape == (1, 10, 12)
    assert (mask[:, :, :2] == 1).all()
    assert (mask[:, 9:] == 1).all()
    np.testing.assert_allclose(mask[0, 0, 2:], [1, 9 / 16, 4 / 16, 1 / 16, 0, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(mask[0, 3:9, 11], [0, 0, 0, 1 / 16, 4 / 16, 9 / 16], atol=1e-6)


def test_feathering_of_half_a_side_or_more_is_left_out() -> None:
    assert of_outpainting(8, 20, 0, 3, 0, 0, 4)[0, 3:].max() == 0
    assert of_outpainting(9, 20, 0, 3, 0, 0, 4)[0, 3:].max() == 1
