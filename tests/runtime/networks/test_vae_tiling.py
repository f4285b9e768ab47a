"""Decoding in tiles: the same as mflux's tiler, and less memory than decoding whole."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mflux.models.common.vae.vae_tiler import VAETiler

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.loading import LoadedComponent, load_component
from run_graph.runtime.networks import vae_tiling
from run_graph.runtime.networks.vae import decode
from run_graph.runtime.networks.vae_tiling import Span, decode_tiled, spans


@pytest.fixture(scope="module")
def vae(small_folder: Path) -> LoadedComponent:
    return load_component(Checkpoint("small", folder=small_folder), "vae")


def noise(*shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(0))


def smooth(height: int, width: int) -> mx.array:
    """Latents with similar neighbours, as in a picture: blurred unit normal noise."""
    latents = np.random.default_rng(0).standard_normal((1, height, width, 16), dtype=np.float32)
    for axis in (1, 2):
        latents = (latents + np.roll(latents, 1, axis) + np.roll(latents, -1, axis)) / np.sqrt(3)
    return mx.array(latents)


@pytest.mark.parametrize(
    ("length", "tile", "expected"),
    [
        (8, 16, [Span(0, 8)]),
        (16, 16, [Span(0, 16)]),
        (17, 16, [Span(0, 16), Span(8, 17)]),
        (24, 16, [Span(0, 16), Span(8, 24)]),
        (64, 32, [Span(0, 32), Span(24, 56), Span(48, 64)]),
    ],
)
def test_tiles_cover_the_axis_and_overlap_by_64_pixels(length: int, tile: int, expected: list[Span]) -> None:
    assert spans(length, tile) == expected


@pytest.mark.parametrize("tile", [16, 18, 32, 64])
def test_the_tiles_weights_add_up_to_one_everywhere(tile: int) -> None:
    for length in range(1, 140):
        total = np.zeros(8 * length)
        for span in spans(length, tile):
            total[8 * span.start : 8 * span.end] += vae_tiling._weights(span, length)
        np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(40, 24), (20, 47), (16, 70)])
def test_the_picture_equals_that_of_mfluxs_tiler(vae: LoadedComponent, height: int, width: int) -> None:
    latents = noise(1, height, width, 16)

    def decode_channels_first(tile: mx.array) -> mx.array:
        pixels = decode(vae.module, vae.config, tile[:, :, 0].transpose(0, 2, 3, 1))
        return pixels.transpose(0, 3, 1, 2)[:, :, None]

    theirs: Any = VAETiler.decode_image_tiled(
        latent=latents.transpose(0, 3, 1, 2)[:, :, None],
        decode_fn=decode_channels_first,
        tile_size=(128, 128),
        tile_overlap=(64, 64),
    )
    ours = decode_tiled(vae.module, vae.config, latents, 128)
    np.testing.assert_allclose(ours, np.array(theirs).transpose(0, 2, 3, 1), atol=1e-5)


def test_one_tile_that_covers_everything_equals_the_picture_decoded_whole(vae: LoadedComponent) -> None:
    latents = noise(2, 16, 12, 16)
    whole = np.array(decode(vae.module, vae.config, latents))
    np.testing.assert_allclose(decode_tiled(vae.module, vae.config, latents, 128), whole, atol=1e-5)


@pytest.mark.parametrize(("tile_size", "decibels"), [(128, 28), (256, 36)])
def test_smooth_latents_decode_nearly_as_they_do_whole(
    vae: LoadedComponent, tile_size: int, decibels: int
) -> None:
    latents = smooth(32, 48)
    whole = np.array(decode(vae.module, vae.config, latents))
    error = np.mean((decode_tiled(vae.module, vae.config, latents, tile_size) - whole) ** 2)
    assert 10 * np.log10(1 / error) > decibels, "peak signal to noise"
    assert error < 0.06 * whole.var()


def test_tiles_need_less_peak_memory(vae: LoadedComponent) -> None:
    latents = noise(1, 40, 40, 16)
    mx.eval(latents)

    def peak(picture: Any) -> int:
        mx.clear_cache()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        np.array(picture())
        return mx.get_peak_memory() - before

    whole = peak(lambda: decode(vae.module, vae.config, latents))
    tiled = peak(lambda: decode_tiled(vae.module, vae.config, latents, 128))
    assert tiled < 0.3 * whole, "a sixth of the pixels at a time"


def test_progress_counts_the_tiles(vae: LoadedComponent) -> None:
    seen: list[tuple[int, int]] = []
    decode_tiled(vae.module, vae.config, noise(1, 24, 16, 16), 128, lambda *counts: seen.append(counts))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize("tile_size", [64, 112, 136])
def test_an_impossible_tile_size_is_refused(vae: LoadedComponent, tile_size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16, at least 128"):
        decode_tiled(vae.module, vae.config, noise(1, 16, 16, 16), tile_size)
