"""Resizing equals torch's `interpolate`. Token grids (test_token_grid.py) and ComfyUI's results test the same
kernels."""

import numpy as np
import pytest

from run_graph.runtime.images.choices import KERNELS, Kernel
from run_graph.runtime.images.interpolation import resize, resize_matrix

SIZES = [(1, 1), (5, 9), (9, 5), (30, 12), (31, 64)]  # height, width


def random_pictures(height: int, width: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(height * width).random((batch, height, width, 3), np.float32)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", SIZES)
def test_any_size_equals_torch(size: tuple[int, int], kernel: Kernel) -> None:
    torch = pytest.importorskip("torch", reason="parity oracle: torch.nn.functional.interpolate")
    pictures = random_pictures(17, 13)
    planes = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    want = torch.nn.functional.interpolate(planes, size=size, mode=kernel).permute(0, 2, 3, 1)
    np.testing.assert_allclose(resize(pictures, *size, kernel), want.numpy(), rtol=0, atol=5e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", SIZES)
def test_rows_and_columns_are_resized_by_the_matrices_that_token_grids_use(
    size: tuple[int, int], kernel: Kernel
) -> None:
    pictures = random_pictures(17, 13)
    rows, columns = resize_matrix(17, size[0], kernel), resize_matrix(13, size[1], kernel)
    want = np.einsum("yh,xw,bhwc->byxc", rows, columns, pictures)
    np.testing.assert_allclose(resize(pictures, *size, kernel), want, rtol=0, atol=5e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_colour_stays_that_colour(kernel: Kernel) -> None:
    for size in SIZES:
        resized = resize(np.full((1, 11, 6, 1), 0.3, np.float32), *size, kernel)
        np.testing.assert_allclose(resized, 0.3, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_same_size_changes_nothing(kernel: Kernel) -> None:
    pictures = random_pictures(8, 5)
    np.testing.assert_array_equal(resize(pictures, 8, 5, kernel), pictures)


def test_masks_without_channels_are_resized_too() -> None:
    masks = random_pictures(8, 6)[..., 0]
    blocks = masks.reshape(2, 4, 2, 3, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(resize(masks, 4, 3, "area"), blocks, atol=1e-6)
