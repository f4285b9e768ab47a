"""Latents decoded and encoded singly or in tiles; conformance/ tests ComfyUI's own results."""

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.models.loading import LoadedComponent, load_component
from run_graph.runtime.models.resolution import resolve_flux
from run_graph.runtime.networks import vae
from run_graph.runtime.sampling.autoencoding import (
    decoded,
    decoded_in_averaged_tiles,
    encoded,
    encoded_in_averaged_tiles,
    whole_cells,
)
from run_graph.runtime.sampling.latents import to_autoencoder_scale

RNG = np.random.default_rng(0)
PIXELS = RNG.random((2, 48, 64, 3), np.float32)


@pytest.fixture(scope="module")
def autoencoder() -> LoadedComponent:
    return load_component(resolve_flux("tiny"), "vae")


@pytest.fixture(scope="module")
def latents(autoencoder: LoadedComponent) -> mx.array:
    return encoded(autoencoder, PIXELS, no_progress)


def no_progress(done: int, total: int) -> None: ...


def test_latents_are_in_the_autoencoders_scale(autoencoder: LoadedComponent, latents: mx.array) -> None:
    expected = to_autoencoder_scale(vae.encode(autoencoder.module, autoencoder.config, mx.array(PIXELS)))
    assert latents.shape == (2, 6, 8, 16)
    np.testing.assert_allclose(np.array(latents), np.array(expected), rtol=1e-4, atol=1e-4)


def test_eight_bit_pictures_are_encoded_like_their_numbers(autoencoder: LoadedComponent) -> None:
    samples = RNG.integers(0, 256, (1, 16, 16, 3), np.uint8)
    one, other = (
        np.array(encoded(autoencoder, each, no_progress)) for each in (samples, samples / np.float32(255))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_pictures_are_decoded_one_at_a_time(autoencoder: LoadedComponent, latents: mx.array) -> None:
    seen: list[tuple[int, int]] = []
    found = decoded(autoencoder, latents, lambda done, total: seen.append((done, total)))
    assert (found.shape, found.dtype) == ((2, 48, 64, 3), np.float32)
    assert 0 <= found.min() < found.max() <= 1
    assert seen == [(1, 2), (2, 2)]
    alone = decoded(autoencoder, latents[1:], no_progress)
    np.testing.assert_allclose(alone[0], found[1], atol=1e-6)


def test_latents_with_other_channels_are_refused(autoencoder: LoadedComponent) -> None:
    empty = mx.zeros((1, 4, 4, 4))
    for decode in (
        lambda: decoded(autoencoder, empty, no_progress),
        lambda: decoded_in_averaged_tiles(autoencoder, empty, 64, 16, no_progress),
    ):
        with pytest.raises(ValueError, match=r"has 4 channels, but the autoencoder decodes 16"):
            decode()


def test_one_tile_is_the_whole_picture(autoencoder: LoadedComponent, latents: mx.array) -> None:
    whole = decoded(autoencoder, latents, no_progress)
    tiled = decoded_in_averaged_tiles(autoencoder, latents, 512, 64, no_progress)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    again = encoded_in_averaged_tiles(autoencoder, PIXELS, 512, 64, no_progress)
    np.testing.assert_allclose(np.array(again), np.array(latents), rtol=1e-4, atol=1e-4)


def test_tiles_give_nearly_the_same(autoencoder: LoadedComponent) -> None:
    smooth = np.linspace(0, 1, 96, dtype=np.float32)
    picture = np.broadcast_to(smooth[:, None, None] * smooth[:, None], (96, 96, 1)).repeat(3, -1)[None]
    latents = encoded(autoencoder, picture, no_progress)
    tiles: list[int] = []
    found = decoded_in_averaged_tiles(autoencoder, latents, 64, 32, lambda done, total: tiles.append(total))
    whole = decoded(autoencoder, latents, no_progress)
    assert tiles == [tiles[0]] * tiles[0]
    assert tiles[0] > 10
    assert 0 < np.abs(found - whole).mean() < 0.05
    others = np.array(encoded_in_averaged_tiles(autoencoder, picture, 64, 16, no_progress))
    spread = np.array(latents).std()
    assert 0 < np.abs(others - np.array(latents)).mean() < 0.5 * spread


@pytest.mark.parametrize(("tile", "overlap"), [(72, 16), (64, 12)])
def test_tiles_that_do_not_end_at_cells_are_refused(
    autoencoder: LoadedComponent, tile: int, overlap: int
) -> None:
    with pytest.raises(ValueError, match="do not end at latent cells"):
        encoded_in_averaged_tiles(autoencoder, PIXELS, tile, overlap, no_progress)


@pytest.mark.parametrize(
    ("side", "first", "last"), [(16, 0, 16), (17, 0, 16), (18, 1, 17), (23, 3, 19), (24, 0, 24)]
)
def test_sides_are_cut_about_the_centre(side: int, first: int, last: int) -> None:
    pictures = RNG.random((1, side, 8, 3), np.float32)
    np.testing.assert_array_equal(whole_cells(pictures), pictures[:, first:last])


def test_a_picture_smaller_than_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="12 x 7 pixels is too small"):
        whole_cells(np.zeros((1, 7, 12, 3), np.float32))
