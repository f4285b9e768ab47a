"""Latents resized, mixed, laid over one another and batched; conformance/ tests ComfyUI's own results."""

from typing import Any

import numpy as np
import pytest

from run_graph.runtime.images import room
from run_graph.runtime.sampling.latent_operations import (
    between,
    blended,
    cut,
    first_picked,
    interpolated,
    laid_over,
    laid_over_masked,
    like,
    numbered_on,
    picked,
    pixels_given_or_kept,
    resized,
)

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def plain(value: float, height: int = 4, width: int = 6, channels: int = 16, batch: int = 1) -> np.ndarray:
    return np.full((batch, height, width, channels), value, np.float32)


# -- size -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"])
@pytest.mark.parametrize("crop", ["disabled", "center"])
def test_what_is_even_stays_even_in_any_size(method: Any, crop: Any) -> None:
    found = resized(plain(-1.5, batch=2), 9, 7, method, crop)
    assert found.shape == (2, 7, 9, 16)
    np.testing.assert_allclose(found, -1.5, rtol=1e-6)


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"])
def test_the_same_size_changes_nothing(method: Any) -> None:
    latents = noise(1, 4, 6, 16)
    np.testing.assert_allclose(resized(latents, 6, 4, method), latents, atol=1e-6)


def test_center_cuts_to_the_new_ratio_first() -> None:
    latents = noise(1, 4, 8, 16)
    for method in ("nearest-exact", "bislerp"):
        whole = resized(latents[:, :, 2:6], 8, 8, method)
        np.testing.assert_array_equal(resized(latents, 8, 8, method, "center"), whole)


def test_bislerp_turns_one_vector_into_the_other_and_mixes_their_lengths() -> None:
    latents = np.zeros((1, 1, 2, 2), np.float32)
    latents[0, 0] = [[2, 0], [0, 4]]
    found = resized(latents, 4, 1, "bislerp")[0, 0]
    angles = np.degrees(np.arctan2(found[:, 1], found[:, 0]))
    np.testing.assert_allclose(angles, [0, 22.5, 67.5, 90], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), [2, 2.5, 3.5, 4], rtol=1e-6)


def test_between_equal_opposite_and_zero_vectors() -> None:
    half = np.full((1, 1), 0.5, np.float32)
    one = np.array([[1, 2, 2]], np.float32)
    np.testing.assert_array_equal(between(one, 3 * one, half), one)  # the first, as it is
    np.testing.assert_allclose(between(one, -3 * one, half), -one, rtol=1e-6)  # linearly
    turned = between(one, 0 * one, half)
    assert np.isfinite(turned).all()
    assert np.linalg.norm(turned) < np.linalg.norm(one)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((256, 128), (256, 128)),
        ((0, 128), (256, 128)),
        ((512, 0), (512, 256)),
        ((32, 0), (64, 64)),
        ((0, 8), (128, 64)),
        ((16, 16), (64, 64)),
    ],
)
def test_a_side_of_0_keeps_the_ratio_and_64_pixels_are_the_least(
    given: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert pixels_given_or_kept((16, 8), *given) == expected


def test_no_cells_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="0 x 3 cells; ask for a larger size"):
        resized(plain(0), 0, 3, "area")
    monkeypatch.setattr(room, "machine_memory", lambda: 100_000)
    for method in ("area", "bislerp"):
        with pytest.raises(ValueError, match="200 x 100 "):
            resized(plain(0), 200, 100, method)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rectangle", "rows", "columns"),
    [
        ((8, 8, 2, 1), slice(1, 9), slice(2, 10)),
        ((8, 9, 20, 20), slice(11, 20), slice(12, 20)),  # begins 8 cells before the edges at the latest
        ((12, 8, 12, 0), slice(0, 8), slice(8, 20)),  # four columns beyond the edge: begins four earlier
        ((16, 8, 12, 0), slice(0, 8), slice(12, 20)),  # eight beyond: just ends there
    ],
)
def test_a_rectangle_is_kept_inside(
    rectangle: tuple[int, int, int, int], rows: slice, columns: slice
) -> None:
    latents = noise(2, 20, 20, 4)
    np.testing.assert_array_equal(cut(latents, *rectangle), latents[:, rows, columns])


# -- two latents ------------------------------------------------------------------------------------


def test_another_size_and_another_number_are_matched() -> None:
    found = like(np.concatenate([plain(1, 8, 8), plain(2, 8, 8)]), plain(0, 4, 6, batch=3))
    assert found.shape == (3, 4, 6, 16)
    np.testing.assert_allclose(found[:, 0, 0, 0], [1, 2, 1], rtol=1e-6)
    assert like(plain(1, batch=2), plain(0, batch=5), whole_batch=False).shape[0] == 2


def test_other_channels_are_refused_by_all() -> None:
    one, other = plain(0), plain(0, channels=4)
    for mix in (
        lambda: like(one, other),
        lambda: blended(one, other, 0.5),
        lambda: laid_over(one, other, 0, 0, 0),
        lambda: laid_over_masked(one, other, 0, 0, None, False),
    ):
        with pytest.raises(ValueError, match=r"channels do not fit together; FLUX\.1's have 16"):
            mix()


def test_interpolation_mixes_directions_and_lengths() -> None:
    one, other = np.zeros((2, 1, 1, 1, 2), np.float32)
    one[..., 0], other[..., 1] = 1, 3
    found = interpolated(one, other, 0.5)[0, 0, 0]
    np.testing.assert_allclose(found, np.full(2, 2 / np.sqrt(2)), rtol=1e-6)
    np.testing.assert_allclose(interpolated(one, other, 1.0), one, rtol=1e-6)
    assert (interpolated(0 * one, 0 * one, 0.3) == 0).all()


def test_blending_is_linear_and_takes_as_many_or_one() -> None:
    np.testing.assert_allclose(blended(plain(1), plain(5), 0.75), 2, rtol=1e-6)
    assert blended(plain(1, batch=2), plain(5, 8, 12), 0.75).shape == (2, 4, 6, 16)
    with pytest.raises(ValueError, match="batches of 2 and 3"):
        blended(plain(1, batch=2), plain(1, batch=3), 0.5)


def test_what_does_not_fit_is_left_out() -> None:
    found = laid_over(plain(0, 6, 6), plain(1, 4, 4), 4, 5, 0)[0, ..., 0]
    expected = np.zeros((6, 6))
    expected[5:, 4:] = 1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(laid_over(plain(2, 6, 6), plain(1), 9, 9, 2), plain(2, 6, 6))


def test_upper_latents_fade_at_their_edges_but_not_at_the_pictures() -> None:
    found = laid_over(plain(0, 8, 8), plain(1, 4, 4), 0, 2, 2)[0, ..., 0]
    np.testing.assert_allclose(found[2:6, 0], [0.5, 1, 1, 0.5])  # rows: above and below
    np.testing.assert_allclose(found[3, :5], [1, 1, 1, 0.5, 0])  # columns: only on the right
    np.testing.assert_allclose(found[2, 3], 0.25)


def test_there_are_as_many_above_or_one() -> None:
    assert laid_over(plain(0, batch=2), plain(1), 0, 0, 0).min() == 1
    with pytest.raises(ValueError, match="batches of 1 and 2"):
        laid_over(plain(0), plain(1, batch=2), 0, 0, 0)


def test_a_mask_shows_the_upper_latents() -> None:
    mask = np.zeros((1, 16, 16), np.float32)
    mask[:, :, 8:] = 1
    found = laid_over_masked(plain(0, 4, 4), plain(1, 4, 4), 0, 0, mask, False)[0, 0, :, 0]
    np.testing.assert_allclose(found, [0, 0, 1, 1])
    assert laid_over_masked(plain(0, 4, 4), plain(1, 2, 2), 0, 0, None, True).min() == 1


# -- batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "expected"), [(0, 0), (2, 2), (9, 2), (-1, 2), (-3, 0), (-9, 0)])
def test_a_place_that_does_not_exist_becomes_the_nearest(start: int, expected: int) -> None:
    assert first_picked(start, 3) == expected


def test_masks_of_the_pictures_that_are_picked() -> None:
    masks = np.arange(2, dtype=np.float32)[:, None, None] * np.ones((2, 1, 1), np.float32)
    assert picked(masks[:1], 1, 2, 3).shape[0] == 1  # one mask for all
    assert picked(masks, 1, 2, 3)[:, 0, 0].tolist() == [1, 0]  # they start again


def test_repeated_places_go_on_behind_the_highest() -> None:
    assert numbered_on((1, 2), 3) == (1, 2, 3, 4, 5, 6)
    assert numbered_on((0, 3), 2) == (0, 3, 4, 7)
