"""Tiles of three shapes, averaged; conformance/ tests ComfyUI's own results."""

from fractions import Fraction

import numpy as np
import pytest

from run_graph.runtime.networks.averaged_tilings import Tiling, average, tilings

PICTURES = np.random.default_rng(0).standard_normal((2, 20, 33, 3), np.float32)


def doubled(tile: np.ndarray) -> np.ndarray:
    return tile.repeat(2, 0).repeat(2, 1)


def halved(tile: np.ndarray) -> np.ndarray:
    return tile.reshape(tile.shape[0] // 2, 2, tile.shape[1] // 2, 2, -1).mean((1, 3))


@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_what_depends_on_single_cells_is_computed_as_a_whole(overlap: int) -> None:
    found = average(PICTURES, doubled, tilings(8, overlap), Fraction(2), 3)
    np.testing.assert_allclose(found, PICTURES.repeat(2, 1).repeat(2, 2), atol=1e-6)


def test_results_may_be_smaller() -> None:
    pictures = PICTURES[:, :, :32]
    found = average(pictures, halved, tilings(12, 4), Fraction(1, 2), 3)
    expected = np.stack([halved(picture) for picture in pictures])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_tile_weighs_less_at_its_edges() -> None:
    """Two tiles of different values: between them their shares change in equal steps."""
    values = iter([0.0, 1.0])
    [row] = average(
        np.zeros((1, 4, 12, 1), np.float32),
        lambda tile: np.full(tile.shape, next(values), np.float32),
        [Tiling(4, 8, 4)],
        Fraction(1),
        1,
    )[0, 2:3, :, 0]
    np.testing.assert_allclose(row, [0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])


def test_progress_counts_the_tiles_of_all_pictures_and_shapes() -> None:
    seen: list[tuple[int, int]] = []
    average(
        PICTURES[:, :16, :16],
        doubled,
        tilings(8, 0),
        Fraction(2),
        3,
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 24) for done in range(1, 25)]


def test_three_shapes() -> None:
    assert tilings(64, 16) == (Tiling(64, 64, 16), Tiling(32, 128, 16), Tiling(128, 32, 16))
    with pytest.raises(ValueError, match="more than twice the overlap"):
        tilings(64, 32)
