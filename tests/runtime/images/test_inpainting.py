"""Pictures and masks whose masked part is painted again."""

import numpy as np
import pytest

from run_graph.runtime.images.inpainting import greyed, grown_to_squares


def dot(side: int = 9) -> np.ndarray:
    mask = np.zeros((1, side, side), np.float32)
    mask[0, 4, 4] = 0.8
    return mask


@pytest.mark.parametrize(
    ("side", "first", "last"), [(0, 4, 4), (1, 4, 4), (2, 4, 5), (3, 3, 5), (6, 2, 7), (64, 0, 8)]
)
def test_a_pixel_grows_to_a_square(side: int, first: int, last: int) -> None:
    expected = np.zeros((1, 9, 9), np.float32)
    expected[0, first : last + 1, first : last + 1] = 1
    np.testing.assert_array_equal(grown_to_squares(dot(), side), expected)


def test_faint_pixels_do_not_grow() -> None:
    assert (grown_to_squares(dot() * 0.5, 6) == 0).all()


def test_masked_pixels_become_grey() -> None:
    pixels = np.random.default_rng(0).random((2, 9, 9, 3), np.float32)
    found = greyed(pixels, dot())
    assert (found[:, 4, 4] == 0.5).all()
    found[:, 4, 4] = pixels[:, 4, 4]
    np.testing.assert_allclose(found, pixels, atol=1e-7)
    with pytest.raises(ValueError, match="3 masks do not fit 2 pictures"):
        greyed(pixels, np.concatenate([dot()] * 3))
