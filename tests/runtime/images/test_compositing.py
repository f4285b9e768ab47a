"""Pictures over one another, side by side, in batches; conformance/ tests ComfyUI's own results."""

from typing import Any

import numpy as np
import pytest

from run_graph.runtime.images import room
from run_graph.runtime.images.arranging import extended, grid, joined, stitched
from run_graph.runtime.images.batches import repeated, with_channels
from run_graph.runtime.images.compositing import blended, composited, with_alpha


def plain(value: float, height: int = 4, width: int = 6, channels: int = 3, batch: int = 1) -> np.ndarray:
    return np.full((batch, height, width, channels), value, np.float32)


def numbered(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)[:, None, None, None] * plain(1)


# -- batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "expected"), [(2, [0, 1]), (3, [0, 1, 2]), (7, [0, 1, 2, 0, 1, 2, 0])])
def test_a_batch_is_cut_or_starts_again(count: int, expected: list[int]) -> None:
    assert repeated(numbered(3), count)[:, 0, 0, 0].tolist() == expected


def test_a_batch_that_memory_has_no_room_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "machine_memory", lambda: 100_000)
    with pytest.raises(ValueError, match="4,096 pictures of 6 x 4 pixels"):
        repeated(plain(0), 4096)


def test_alpha_is_added_as_opaque_or_dropped() -> None:
    assert with_channels(plain(0), 4)[0, 0, 0].tolist() == [0, 0, 0, 1]
    assert with_channels(plain(0, channels=4), 3).shape == (1, 4, 6, 3)


def test_joined_pictures_have_the_firsts_size_and_all_channels() -> None:
    both = joined(plain(0.25), plain(0.75, 8, 8, 4, batch=2))
    assert both.shape == (3, 4, 6, 4)
    assert both[:, 0, 0].tolist() == [[0.25, 0.25, 0.25, 1], [0.75] * 4, [0.75] * 4]


# -- over one another -------------------------------------------------------------------------------


def test_a_source_covers_what_it_lies_on_as_far_as_it_fits() -> None:
    result = composited(plain(0), plain(1, 3, 3), 4, 2)
    want = plain(0)
    want[:, 2:, 4:] = 1
    np.testing.assert_array_equal(result, want)
    np.testing.assert_array_equal(composited(plain(0), plain(1), 6, 9), plain(0))


def test_a_mask_is_resized_to_the_source_and_mixes() -> None:
    mask = np.repeat(np.array([[0, 1]], np.float32), 2, axis=0)[None]
    result = composited(plain(0.2), plain(1, 2, 2), 1, 1, mask)
    np.testing.assert_allclose(result[0, 1:3, 1:3, 0], [[0.2, 1], [0.2, 1]], atol=1e-6)


def test_a_source_may_be_resized_to_the_destination_and_its_batch_starts_again() -> None:
    result = composited(plain(0, batch=3), numbered(2)[:, :2, :2], 0, 0, resize_source=True)
    assert result[:, 3, 5, 0].tolist() == [0, 1, 0]


def test_arrays_of_any_depth_can_be_composited() -> None:
    assert composited(plain(0, channels=16), plain(1, 2, 2, 16), 0, 0).sum() == 2 * 2 * 16


def test_the_mask_becomes_transparency() -> None:
    mask = np.array([[[0.0, 1.0]]], np.float32)
    result = with_alpha(plain(0.5, 1, 2, batch=2), mask)
    np.testing.assert_allclose(result[:, 0, :, 3], [[1, 0], [1, 0]])
    assert with_alpha(plain(0.5, 1, 2), np.zeros((3, 1, 2), np.float32)).shape == (3, 1, 2, 4)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("normal", 0.3),
        ("multiply", 0.18),
        ("screen", 0.72),
        ("overlay", 0.44),
        ("soft_light", 0.504),
        ("difference", 0.3),
    ],
)
def test_blend_modes(mode: Any, expected: float) -> None:
    np.testing.assert_allclose(blended(plain(0.6), plain(0.3), 1, mode), expected, atol=1e-6)
    np.testing.assert_allclose(blended(plain(0.6), plain(0.3), 0.5, mode), (expected + 0.6) / 2, atol=1e-6)


def test_a_negative_difference_becomes_0() -> None:
    assert blended(plain(0.2), plain(0.9), 1, "difference").max() == 0


def test_batches_that_do_not_fit_are_not_blended() -> None:
    with pytest.raises(ValueError, match="batches of 2 and 3 do not fit"):
        blended(numbered(2), numbered(3), 0.5, "normal")


# -- side by side -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "row"), [("right", [0.2, 0.2, 1, 1, 0.8, 0.8]), ("left", [0.8, 0.8, 1, 1, 0.2, 0.2])]
)
def test_pictures_side_by_side(direction: Any, row: list[float]) -> None:
    both = stitched(plain(0.2, 2, 2), plain(0.8, 4, 4), direction, True, 1, "white")
    assert both.shape == (1, 2, 6, 3)
    np.testing.assert_allclose(both[0, 0, :, 0], row, atol=1e-6)


@pytest.mark.parametrize(("direction", "first"), [("down", 0), ("up", 1)])
def test_pictures_one_above_the_other_with_a_coloured_gap(direction: Any, first: float) -> None:
    both = stitched(plain(0, 2, 2), plain(1, 2, 2), direction, True, 2, "red")
    assert both.shape == (1, 6, 2, 3)
    assert both[0, 0, 0, 0] == first
    assert both[0, 2, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("colour", "around"), [("white", 1), ("black", 0), ("red", 0)])
def test_a_smaller_picture_is_centred_if_sizes_are_not_matched(colour: Any, around: float) -> None:
    both = stitched(plain(0.4, 1, 2), plain(0.6, 4, 3), "right", False, 0, colour)
    assert both.shape == (1, 4, 5, 3)
    np.testing.assert_allclose(both[0, :, 0, 0], [around, 0.4, around, around], atol=1e-6)


def test_a_shorter_batch_goes_on_with_its_last_picture() -> None:
    both = stitched(numbered(2), numbered(3), "right", False, 0, "white")
    assert both[:, 0, [0, -1], 0].tolist() == [[0, 0], [1, 1], [1, 2]]


def test_a_gap_between_pictures_with_alpha_is_opaque() -> None:
    both = stitched(plain(0, 2, 2, 4), plain(0, 2, 2), "right", True, 2, "green")
    assert both[0, 0].tolist() == [[0] * 4, [0] * 4, [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]]


def test_a_grid_fills_rows_and_leaves_black_between() -> None:
    made = grid(numbered(3) / 2, columns=2, width=5, height=4, padding=1)
    assert made.shape == (1, 9, 11, 3)
    np.testing.assert_allclose(made[0, [0, 0, 5, 5, 4, 0], [0, 6, 0, 6, 0, 5], 0], [0, 127 / 255, 1, 0, 0, 0])


def test_a_picture_is_extended_by_grey() -> None:
    larger = extended(plain(1), 1, 2, 3, 4)
    assert larger.shape == (1, 10, 10, 3)
    assert (larger[:, 2:6, 1:7] == 1).all()
    assert larger.sum() == 3 * (24 + 0.5 * (100 - 24))
