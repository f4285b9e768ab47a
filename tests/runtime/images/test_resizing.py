"""Sizes, cutting and Lanczos as in ComfyUI's scaling nodes; conformance/ tests its own results."""

import numpy as np
import pytest
from PIL import Image

from run_graph.runtime.images import room
from run_graph.runtime.images.resizing import (
    fitted,
    for_kontext,
    given_or_kept,
    lanczos,
    of_longest_side,
    of_megapixels,
    scaled,
)

RANDOM = np.random.default_rng(3).random((1, 12, 20, 3), np.float32)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(10, 6, (10, 6)), (0, 10, (20, 10)), (10, 0, (10, 5)), (0, 0, (80, 40)), (1, 0, (1, 1))],
)
def test_a_side_of_0_keeps_the_ratio(width: int, height: int, size: tuple[int, int]) -> None:
    assert given_or_kept((80, 40), width, height) == size


def test_total_pixels_become_multiples() -> None:
    assert of_megapixels((60, 40), 0.01, 1) == (125, 84)
    assert of_megapixels((60, 40), 0.01, 8) == (128, 80)


@pytest.mark.parametrize(
    ("size", "expected"), [((60, 40), (32, 21)), ((40, 60), (21, 32)), ((7, 7), (32, 32))]
)
def test_the_longest_side_is_the_given_one(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert of_longest_side(size, 32) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [((100, 100), (1024, 1024)), ((1920, 1080), (1392, 752)), ((1, 1000), (672, 1568))],
)
def test_kontexts_size_has_the_most_similar_ratio(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert for_kontext(size) == expected


def test_lanczos_is_pils_on_samples_that_are_cut_to_8_bits() -> None:
    cut = (RANDOM[0] * 255).astype(np.uint8)
    want = np.asarray(Image.fromarray(cut).resize((9, 7), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.rint(lanczos(RANDOM, 9, 7)[0] * 255), want)
    np.testing.assert_array_equal(lanczos(RANDOM, 9, 7), lanczos(cut[None], 9, 7))


def test_a_picture_that_is_too_wide_is_cut_on_both_sides() -> None:
    cut = scaled(RANDOM, 12, 12, "nearest-exact", "center")
    np.testing.assert_array_equal(cut, RANDOM[:, :, 4:16])


def test_a_picture_that_is_too_high_is_cut_above_and_below() -> None:
    turned = RANDOM.swapaxes(1, 2)
    np.testing.assert_array_equal(scaled(turned, 12, 12, "area", "center"), turned[:, 4:16])


def test_8_bit_samples_give_the_same_as_floats() -> None:
    samples = (RANDOM * 255).astype(np.uint8)
    unit = samples / np.float32(255)
    np.testing.assert_array_equal(scaled(samples, 7, 5, "bicubic"), scaled(unit, 7, 5, "bicubic"))


def test_a_fitted_picture_is_whole_and_centred() -> None:
    canvas = fitted(RANDOM, 40, 40, "nearest-exact", grey=1)
    assert canvas.shape == (1, 40, 40, 3)
    assert (canvas[:, :8] == 1).all()
    assert (canvas[:, 32:] == 1).all()
    np.testing.assert_array_equal(canvas[:, 8:32:2, ::2], RANDOM)


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="would be 5 x 0 pixels"):
        scaled(RANDOM, 5, 0, "area")


def test_a_cut_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="of a picture of 20 x 12 pixels nothing is left"):
        scaled(RANDOM, 1, 100, "area", "center")


def test_a_picture_that_memory_has_no_room_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "machine_memory", lambda: 2_400_000)
    scaled(RANDOM, 300, 300, "nearest-exact")
    with pytest.raises(ValueError, match=r"a picture of 400 x 300 pixels would take 1\.4 MB, more than half"):
        scaled(RANDOM, 400, 300, "nearest-exact")
