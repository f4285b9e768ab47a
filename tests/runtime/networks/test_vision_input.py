"""SigLIP's input equals that of each program whose convention it follows."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from run_graph.runtime.networks import vision_input
from run_graph.runtime.networks.vision_input import Fit, siglip_pixels

ONE_STEP = 2 / 255  # of the 8-bit scale, in the -1..1 range


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A ``(1, H, W, 3)`` picture of whole 8-bit steps: gradients under noise."""
    rng = np.random.default_rng(seed)
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    smooth = 0.5 + 0.4 * np.sin(7 * x + np.array([0, 5, 9]) * y)
    noisy = smooth + 0.2 * rng.standard_normal((height, width, 3))
    return (np.round(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)[None]


def as_pil(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(pixels[0] * 255).astype(np.uint8))


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize(("height", "width"), [(60, 90), (90, 60), (384, 384), (500, 31), (1, 700)])
def test_the_result_is_square_and_of_whole_8_bit_steps_in_minus_one_to_one(
    fit: str, height: int, width: int
) -> None:
    got = siglip_pixels(picture(height, width), fit=fit)
    assert got.shape == (1, 384, 384, 3)
    assert got.dtype == np.float32
    assert got.min() >= -1
    assert got.max() <= 1
    steps = (got + 1) * 127.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(300, 500), (640, 427), (100, 151), (384, 701)])
def test_crop_before_rounding_equals_torchs_antialiased_bicubic_as_comfyui_uses_it(
    height: int, width: int
) -> None:
    torch = pytest.importorskip("torch", reason="parity oracle: torch.nn.functional.interpolate")
    pixels = picture(height, width)
    scale = 384 / min(height, width)
    h, w = round(scale * height), round(scale * width)
    nchw = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    scaled = torch.nn.functional.interpolate(nchw, size=(h, w), mode="bicubic", antialias=True)
    top, left = (h - 384) // 2, (w - 384) // 2
    want = scaled[0, :, top : top + 384, left : left + 384].permute(1, 2, 0).numpy()

    got = vision_input._crop(pixels[0], 384, Image.Resampling.BICUBIC)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)

    rounded = (np.round(np.clip(want * 255, 0, 255)) / 255 - 0.5) / 0.5
    difference = np.abs(siglip_pixels(pixels)[0] - rounded)
    assert (difference > 1e-6).mean() < 1e-3, "only values at the middle between two steps may differ"
    assert difference.max() <= ONE_STEP + 1e-6


def test_crop_takes_the_middle_and_leaves_a_picture_of_the_right_size_alone() -> None:
    pixels = picture(384, 401)  # 17 too many: 8 go on the left, 9 on the right
    np.testing.assert_allclose(siglip_pixels(pixels)[0], pixels[0, :, 8:392] * 2 - 1, atol=1e-6)


def test_crop_of_a_very_long_picture_costs_no_more_than_its_middle() -> None:
    strip = np.tile(np.linspace(0, 1, 100_000, dtype=np.float32)[None, None, :, None], (1, 2, 1, 3))
    got = siglip_pixels(strip)  # scaled whole it would be 19,200,000 x 384
    np.testing.assert_allclose(got, 0, atol=ONE_STEP)


@pytest.mark.parametrize(("height", "width"), [(300, 500), (384, 384), (70, 33)])
def test_stretch_with_lanczos_equals_mflux_exactly(height: int, width: int) -> None:
    image_util = pytest.importorskip("mflux.utils.image_util")
    pixels = picture(height, width)
    want = np.array(image_util.ImageUtil.preprocess_for_model(as_pil(pixels))).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(siglip_pixels(pixels, fit="stretch", resample="lanczos"), want)


def test_stretch_with_bicubic_equals_hugging_faces_siglip_processor() -> None:
    siglip = pytest.importorskip("transformers.models.siglip.image_processing_pil_siglip")
    pixels = picture(300, 500)
    processor = siglip.SiglipImageProcessorPil(size={"height": 384, "width": 384})
    want = processor(as_pil(pixels), return_tensors="np")["pixel_values"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(siglip_pixels(pixels, fit="stretch"), want, atol=1e-6)


def test_pad_keeps_the_aspect_ratio_between_equal_black_bars() -> None:
    got = siglip_pixels(np.ones((1, 100, 200, 3), np.float32), fit="pad")[0]
    np.testing.assert_array_equal(got[:96], -1)
    np.testing.assert_array_equal(got[96:288], 1)
    np.testing.assert_array_equal(got[288:], -1)


def test_pad_keeps_at_least_one_line_of_a_very_long_picture() -> None:
    got = siglip_pixels(np.ones((1, 1, 2000, 3), np.float32), fit="pad")[0]
    assert (got == 1).all(axis=(1, 2)).sum() == 1


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_overshoot_of_the_kernel_is_clipped(fit: str) -> None:
    checks = np.indices((40, 40)).sum(axis=0) // 5 % 2
    got = siglip_pixels(np.repeat(checks[None, :, :, None], 3, axis=3).astype(np.float32), fit=fit)
    assert got.min() == -1
    assert got.max() == 1


def test_a_batch_is_prepared_picture_by_picture_and_at_any_size() -> None:
    both = np.concatenate([picture(60, 90), picture(60, 90, seed=1)])
    got = siglip_pixels(both, size=512)
    assert got.shape == (2, 512, 512, 3)
    np.testing.assert_array_equal(got[1:], siglip_pixels(both[1:], size=512))


def test_the_pictures_given_are_not_changed() -> None:
    pixels = picture(60, 90)
    before = pixels.copy()
    siglip_pixels(pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixels": np.zeros((60, 90, 3), np.float32)}, "batch, height, width, 3"),
        ({"pixels": np.zeros((1, 60, 90, 2), np.float32)}, "batch, height, width, 3"),
        ({"size": 0}, "at least 1 pixel"),
        ({"fit": "tile"}, "'tile' is unknown; choose one of crop, stretch, pad"),
        ({"resample": "area"}, "'area' is unknown; choose one of bicubic, lanczos"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        siglip_pixels(**{"pixels": picture(60, 90), **arguments})


@pytest.mark.parametrize("fit", get_args(Fit))
def test_an_alpha_channel_is_dropped(fit: Fit) -> None:
    colours = np.random.default_rng(0).random((1, 9, 6, 3), np.float32)
    clear = np.concatenate([colours, np.zeros((1, 9, 6, 1), np.float32)], -1)
    np.testing.assert_array_equal(siglip_pixels(clear, 8, fit), siglip_pixels(colours, 8, fit))
