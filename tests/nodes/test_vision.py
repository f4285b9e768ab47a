"""SiglipEncode: three ways for a picture to become square, each equal to doing it by hand."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image as PilImage

from run_graph.nodes import LoadRedux, SiglipEncode
from run_graph.runtime.generation import PictureFile, Reference
from run_graph.runtime.values import Image

FILE = PictureFile("wide.png", "white", "first")
SIDE = 384  # SigLIP so400m-patch14-384


def scene(height: int, width: int) -> np.ndarray:
    """Smooth and different everywhere, in whole 8-bit steps."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 37) + np.cos(y / 23), np.sin((x + y) / 51), np.cos(x / 29) * np.sin(y / 31)]
    unit = np.stack([(wave - wave.min()) / (wave.max() - wave.min()) for wave in waves], axis=-1)
    return (np.round(unit * 255) / 255).astype(np.float32)


def see(bench: Any, model: str, *pictures: np.ndarray, **how: Any) -> np.ndarray:
    siglip = bench.run(LoadRedux(model=model)).siglip
    image = Image.from_file(np.stack(pictures), FILE)
    return np.array(
        bench.run(SiglipEncode(siglip=siglip, image=image, **how)).vision.hidden.astype(mx.float32)
    )


def test_there_is_one_vector_per_patch_and_the_file_is_remembered(bench: Any, small_model: str) -> None:
    siglip = bench.run(LoadRedux(model=small_model)).siglip
    image = Image.from_file(scene(40, 40)[None], FILE)
    vision = bench.run(SiglipEncode(siglip=siglip, image=image)).vision
    assert vision.hidden.shape == (1, 27 * 27, 64)
    assert vision.reference == Reference(
        "wide.png", fit="crop", resample="bicubic", background="white", frames="first"
    )


def test_the_file_of_a_picture_that_a_node_changed_is_not_recorded(bench: Any, small_model: str) -> None:
    siglip = bench.run(LoadRedux(model=small_model)).siglip
    image = Image.from_file(scene(40, 40)[None], FILE)
    changed = replace(image, pixels=1 - image.pixels)
    vision = bench.run(SiglipEncode(siglip=siglip, image=changed)).vision
    assert vision.reference == Reference(fit="crop", resample="bicubic")


def test_crop_uses_the_middle_square(bench: Any, small_model: str) -> None:
    wide = scene(SIDE, 2 * SIDE)
    middle = wide[:, SIDE // 2 : SIDE // 2 + SIDE]
    np.testing.assert_allclose(
        see(bench, small_model, wide, fit="crop"), see(bench, small_model, middle), atol=1e-5
    )


def test_crop_is_the_default(bench: Any, small_model: str) -> None:
    wide = scene(SIDE, SIDE + 100)
    np.testing.assert_array_equal(see(bench, small_model, wide), see(bench, small_model, wide, fit="crop"))


def test_pad_keeps_the_whole_picture_between_black_bars(bench: Any, small_model: str) -> None:
    flat = scene(SIDE // 2, SIDE)
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    square[SIDE // 4 : SIDE // 4 + SIDE // 2] = flat
    np.testing.assert_allclose(
        see(bench, small_model, flat, fit="pad"), see(bench, small_model, square), atol=1e-5
    )


@pytest.mark.parametrize(
    ("resample", "kernel"),
    [("bicubic", PilImage.Resampling.BICUBIC), ("lanczos", PilImage.Resampling.LANCZOS)],
)
def test_stretch_squashes_as_pillow_does(
    bench: Any, small_model: str, resample: str, kernel: PilImage.Resampling
) -> None:
    flat = scene(200, 500)
    squashed = PilImage.fromarray(np.round(flat * 255).astype(np.uint8)).resize((SIDE, SIDE), kernel)
    by_hand = np.asarray(squashed, np.float32) / 255
    np.testing.assert_allclose(
        see(bench, small_model, flat, fit="stretch", resample=resample),
        see(bench, small_model, by_hand),
        atol=1e-5,
    )


def test_the_three_fits_give_different_results(bench: Any, small_model: str) -> None:
    flat = scene(100, 300)
    crop, stretch, pad = (see(bench, small_model, flat, fit=fit) for fit in ("crop", "stretch", "pad"))
    for one, other in ((crop, stretch), (stretch, pad), (crop, pad)):
        assert np.abs(one - other).mean() > 0.01


def test_each_picture_of_a_batch_is_encoded_separately(bench: Any, small_model: str) -> None:
    first, second = scene(50, 60), scene(50, 60)[::-1]
    both = see(bench, small_model, first, second)
    assert both.shape == (2, 27 * 27, 64)
    np.testing.assert_allclose(both[0], see(bench, small_model, first)[0], atol=1e-5)
    np.testing.assert_allclose(both[1], see(bench, small_model, second)[0], atol=1e-5)
