"""Pictures of every kind load as a viewer shows them; a fault is reported in one line."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from run_graph.runtime.images import reading as images
from run_graph.runtime.images.exif import read_mflux_comment
from run_graph.runtime.images.reading import ImageError
from run_graph.runtime.values import unit

ORIENTATION = 0x0112


def colours(height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def saved(tmp_path: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def load(path: Path, *options: Any, **named: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pixels as float32, 0..1, and the mask."""
    samples, mask = images.read(path, *options, **named)
    return unit(samples), mask


def load_8_bit(path: Path) -> np.ndarray:
    """The loaded pixels as ``(H, W, 3)`` whole steps."""
    steps = load(path, "white")[0][0] * 255
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    return np.round(steps).astype(int)


# -- loading ----------------------------------------------------------------------------------------


def test_an_opaque_picture_loads_exactly_with_comfyuis_empty_mask(tmp_path: Path) -> None:
    pixels, mask = load(saved(tmp_path, Image.fromarray(colours())))
    assert pixels.dtype == mask.dtype == np.float32
    np.testing.assert_array_equal(pixels, (colours() / np.float32(255))[None])
    np.testing.assert_array_equal(mask, np.zeros((1, 64, 64)))


def test_transparency_is_composited_over_white_and_inverted_into_the_mask(tmp_path: Path) -> None:
    rgba = np.array([[[255, 0, 0, 0], [255, 0, 0, 51], [255, 0, 0, 255]]], np.uint8)
    path = saved(tmp_path, Image.fromarray(rgba))
    np.testing.assert_array_equal(load_8_bit(path), [[[255, 255, 255], [255, 204, 204], [255, 0, 0]]])
    np.testing.assert_allclose(load(path)[1], [[[1, 0.8, 0]]], atol=1e-7)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_transparent_picture_equals_mfluxs_reading_of_it(tmp_path: Path, mode: str) -> None:
    image_util = pytest.importorskip("mflux.utils.image_util")
    rgba = np.concatenate([colours(), colours()[..., :1]], axis=-1)
    image = Image.fromarray(rgba)
    image = image.quantize() if mode == "P" else image.convert(mode)
    path = saved(tmp_path, image)
    np.testing.assert_array_equal(load_8_bit(path), np.asarray(image_util.ImageUtil.load_image(path)))


# What turns the stored pixels into the upright picture (EXIF 2.32, tag Orientation).
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_the_exif_orientation_is_applied_to_pixels_and_mask(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path, Image.fromarray(colours()), exif=exif)
    np.testing.assert_array_equal(load_8_bit(path), UPRIGHT[orientation](colours()))
    alpha = colours()[..., :1]
    path = saved(tmp_path, Image.fromarray(np.concatenate([colours(), alpha], axis=-1)), exif=exif)
    expected = 1 - UPRIGHT[orientation](alpha)[..., 0] / np.float32(255)
    np.testing.assert_array_equal(load(path)[1], expected[None])


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("1", "png"), ("L", "png"), ("P", "gif"), ("CMYK", "tiff"), ("YCbCr", "jpg"), ("CMYK", "jpg")],
)
def test_other_modes_load_as_pil_converts_them(tmp_path: Path, mode: str, suffix: str) -> None:
    path = saved(tmp_path, Image.fromarray(colours()).convert(mode), f"a.{suffix}")
    with Image.open(path) as image:
        np.testing.assert_array_equal(load_8_bit(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_keeps_its_precision(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 1, 256, 32768, 65535]], np.uint16)
    pixels, mask = load(saved(tmp_path, Image.fromarray(grey), f"a.{suffix}"))
    np.testing.assert_allclose(pixels, np.repeat(grey[None, :, :, None] / 65535, 3, axis=3), atol=1e-7)
    assert mask.shape == (1, 64, 64)


@pytest.mark.parametrize(("values", "expected"), [([0, 0.25, 1], [0, 0.25, 1]), ([0, 51, 255], [0, 0.2, 1])])
def test_floats_count_as_unit_range_or_as_bytes(
    tmp_path: Path, values: list[float], expected: list[float]
) -> None:
    path = saved(tmp_path, Image.fromarray(np.array([values], np.float32)), "a.tiff")
    np.testing.assert_allclose(load(path)[0][0, 0, :, 0], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tiff", {})],
)
def test_the_frames_of_an_animation_and_the_pages_of_a_tiff_are_a_batch(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    frames = [Image.new("RGB", (4, 6), colour) for colour in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
    pixels, mask = load(path)
    assert pixels.shape == (3, 6, 4, 3)
    np.testing.assert_array_equal(pixels[:, 2, 2], np.eye(3))
    assert mask.shape == (3, 64, 64)
    first, _ = load(path, frames="first")
    np.testing.assert_array_equal(first, pixels[:1])


def test_a_page_of_another_size_is_left_out(tmp_path: Path) -> None:
    pages = [Image.new("RGB", size, "red") for size in ((8, 8), (2, 2), (8, 8))]
    path = saved(tmp_path, pages[0], "a.tiff", save_all=True, append_images=pages[1:])
    assert load(path)[0].shape == (2, 8, 8, 3)


def test_the_further_pictures_of_a_photograph_are_not_frames(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, pictures[0], "a.mpo", save_all=True, append_images=pictures[1:])
    assert load(path)[0].shape == (1, 16, 16, 3)


def test_all_frames_together_obey_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(images, "MAX_PIXELS", 199)
    with pytest.raises(ImageError, match="2 frames of 10 x 10 pixels exceed the limit of 199 pixels in all"):
        load(path)
    assert images.check(path) is not None
    assert images.check(path, "first") is None
    monkeypatch.setattr(images, "MAX_PIXELS", 200)
    assert load(path)[0].shape == (2, 10, 10, 3)


def test_an_animation_with_transparency_has_a_mask_for_each_frame(tmp_path: Path) -> None:
    rgba = np.zeros((2, 4, 4, 4), np.uint8)
    rgba[0, ..., 3] = 255
    rgba[1, :2, :, 3] = 255
    frames = [Image.fromarray(frame) for frame in rgba]
    path = saved(tmp_path, frames[0], save_all=True, append_images=frames[1:], blend=0)
    np.testing.assert_array_equal(load(path)[1], 1 - rgba[..., 3] / 255)


def palette(transparency: int | bytes) -> tuple[Image.Image, dict[str, object]]:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image, {"transparency": transparency}


@pytest.mark.parametrize(
    ("transparency", "mask"), [(1, [0, 1, 0]), (bytes([255, 0, 51]), [0, 1, 0.8])], ids=["one", "alphas"]
)
def test_a_palettes_transparency_becomes_the_mask_and_its_colours_stay(
    tmp_path: Path, transparency: int | bytes, mask: list[float]
) -> None:
    image, options = palette(transparency)
    pixels, found = load(saved(tmp_path, image, **options))
    np.testing.assert_array_equal(pixels[0, 0], np.eye(3))
    np.testing.assert_allclose(found, [[mask]], atol=1e-7)


@pytest.mark.parametrize(
    ("samples", "transparency"),
    [
        (np.array([[10, 200, 30]], np.uint8), 200),
        (np.array([[1000, 51400, 3]], np.uint16), 51400),
        (np.array([[[9, 9, 9], [1, 2, 3], [4, 5, 6]]], np.uint8), (1, 2, 3)),
    ],
    ids=["grey", "deep grey", "colour"],
)
def test_a_transparent_colour_becomes_the_mask_and_stays(
    tmp_path: Path, samples: np.ndarray, transparency: object
) -> None:
    path = saved(tmp_path, Image.fromarray(samples), transparency=transparency)
    pixels, mask = load(path)
    np.testing.assert_array_equal(mask, [[[0, 1, 0]]])
    whole = samples / np.float32(np.iinfo(samples.dtype).max)
    expected = whole if samples.ndim == 3 else np.repeat(whole[..., None], 3, axis=-1)
    np.testing.assert_allclose(pixels[0], expected, atol=1e-7)
    np.testing.assert_array_equal(load(path, "white")[0][0, 0, 1], [1, 1, 1])


@pytest.mark.parametrize(("background", "expected"), [("white", 1), ("grey", 128 / 255), ("black", 0)])
def test_a_background_shows_where_the_picture_is_transparent(
    tmp_path: Path, background: str, expected: float
) -> None:
    clear = np.array([[[200, 100, 50, 0]]], np.uint8)
    pixels, mask = load(saved(tmp_path, Image.fromarray(clear)), background)
    np.testing.assert_allclose(pixels, np.full((1, 1, 1, 3), expected), atol=1e-7)
    np.testing.assert_array_equal(mask, [[[1]]])


def test_colours_under_transparency_are_kept_as_stored(tmp_path: Path) -> None:
    rgba = np.concatenate([colours(), colours()[..., :1]], axis=-1)
    pixels, mask = load(saved(tmp_path, Image.fromarray(rgba)))
    np.testing.assert_array_equal(pixels, (colours() / np.float32(255))[None])
    np.testing.assert_array_equal(mask, 1 - (colours()[..., 0] / np.float32(255))[None])


@pytest.mark.parametrize("name", ["sunset.png", "teapot.png"])
def test_the_pictures_of_the_example_workflows_load_and_are_small_and_opaque(name: str) -> None:
    path = Path(__file__).parents[3] / "workflows" / "images" / name
    assert path.stat().st_size < 200_000
    pixels, mask = load(path)
    assert pixels.std() > 0.1
    assert not mask.any()


@pytest.mark.parametrize("suffix", ["avif", "bmp", "ico", "jp2", "mpo", "ppm", "qoi", "tiff", "webp"])
def test_the_usual_formats_are_read(tmp_path: Path, suffix: str) -> None:
    flat = Image.new("RGB", (32, 32), (200, 100, 50))
    path = saved(tmp_path, flat, f"a.{suffix}")
    np.testing.assert_allclose(load_8_bit(path), np.asarray(flat), atol=4)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_picture_with_damaged_exif_still_loads(tmp_path: Path) -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(40))
    path = saved(tmp_path, Image.fromarray(colours()), exif=exif)
    np.testing.assert_array_equal(load_8_bit(path), colours())


# -- refusing ---------------------------------------------------------------------------------------


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header claims that size, with almost no data."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(1000))]
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def faulty(tmp_path: Path, kind: str) -> Path:
    """A path that cannot be loaded, for the reason that `kind` names."""
    path = tmp_path / f"{kind}.png"
    png = io.BytesIO()
    Image.fromarray(colours(100, 100)).save(png, "PNG")
    content = {
        "empty": b"",
        "text": b"hello, I am no picture at all",
        "truncated": png.getvalue()[: len(png.getvalue()) // 2],
        "signature": png.getvalue()[:8],
        "flipped": png.getvalue()[:60] + b"\0" * 40 + png.getvalue()[100:],
        "huge": huge_png(60_000, 60_000),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    }
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(content[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file; check the name"),
        ("folder", "this is a folder, not a picture"),
        ("pipe", "this is not a regular file"),
        ("empty", "the file is empty"),
        ("text", "not a picture in a known format; export it"),
        ("postscript", "not a picture in a known format; export it"),
        ("signature", "damaged, or not a picture"),
        ("truncated", "cannot be decoded .*; export it again"),
        ("flipped", "cannot be decoded .*; export it again"),
        ("huge", "exceeds the limit of 178,956,970 pixels; scale the picture down"),
    ],
)
def test_what_is_not_a_picture_is_reported_in_one_line_with_the_fix(
    tmp_path: Path, kind: str, message: str
) -> None:
    path = faulty(tmp_path, kind)
    with pytest.raises(ImageError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "text", "signature", "huge"])
def test_the_header_check_gives_the_same_message_as_loading(tmp_path: Path, kind: str) -> None:
    path = faulty(tmp_path, kind)
    with pytest.raises(ImageError) as caught:
        load(path)
    assert images.check(path) == str(caught.value)


def test_the_header_check_accepts_a_good_picture(tmp_path: Path) -> None:
    assert images.check(saved(tmp_path, Image.fromarray(colours()))) is None


def test_a_file_without_read_permission_is_reported_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = saved(tmp_path, Image.fromarray(colours()))
    monkeypatch.setattr(images.Image, "open", denied)
    with pytest.raises(ImageError, match="change the file's permissions"):
        load(path)


@pytest.mark.parametrize("side", [13_500, 60_000])
def test_a_picture_above_the_limit_is_refused_quickly_without_allocating_it(
    tmp_path: Path, side: int
) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(side, side))
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(ImageError, match="exceeds the limit"):
        load(path)
    assert time.perf_counter() - began < 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_never_escapes_as_another_exception(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "damaged"
    for suffix in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(colours(20, 20)).save(buffer, suffix)
        for _ in range(30):
            data = bytearray(buffer.getvalue())
            for position in rng.integers(0, len(data), 5):
                data[position] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                pixels, mask = load(path)
            except ImageError:
                continue
            assert mask.shape in (pixels.shape[:3], (len(pixels), 64, 64))


# -- writing ----------------------------------------------------------------------------------------


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_comment_of_a_picture_saved_by_mflux_is_read(tmp_path: Path, suffix: str) -> None:
    image_util = pytest.importorskip("mflux.utils.image_util")
    settings = {"seed": 42, "prompt": "a fox 狐", "steps": 4, "model_config": "dev"}
    path = tmp_path / f"a.{suffix}"
    image_util.ImageUtil.save_image(Image.fromarray(colours()), path, metadata=settings)
    assert read_mflux_comment(path) == settings


@pytest.mark.parametrize(
    "comment", [b"", b"ASCII\0\0\0a holiday", b"ASCII\0\0\0[1]", b"\xff\xfe", b"[" * 9999]
)
def test_a_comment_of_another_program_is_not_taken_as_settings(tmp_path: Path, comment: bytes) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    assert read_mflux_comment(saved(tmp_path, Image.fromarray(colours()), exif=exif)) is None


def test_a_picture_without_exif_has_no_settings(tmp_path: Path) -> None:
    assert read_mflux_comment(saved(tmp_path, Image.fromarray(colours()))) is None


# -- colour profiles ----------------------------------------------------------------------------------


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(name: str) -> bytes:
    return (Path(__file__).parent / "profiles" / f"{name}.icc").read_bytes()


@pytest.mark.parametrize(("name", "expected"), [("wide", (51, 201, 37)), ("p3", (90, 204, 0))])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_an_embedded_colour_profile_is_applied(
    tmp_path: Path, name: str, expected: tuple[int, ...], mode: str, suffix: str
) -> None:
    image = Image.new("RGB", (4, 3), (120, 200, 60))
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    pixels, _ = load(saved(tmp_path, image, f"a.{suffix}", icc_profile=profile(name)))
    assert pixels.shape == (1, 3, 4, 3)
    np.testing.assert_allclose(pixels[0, 0, 0] * 255, expected, atol=8)


def test_transparency_survives_a_colour_profile(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 2), (120, 200, 60, 64))
    pixels, mask = load(saved(tmp_path, image, icc_profile=profile("wide")))
    np.testing.assert_allclose(pixels[0, 0, 0] * 255, (51, 201, 37), atol=8)
    np.testing.assert_allclose(mask, 1 - 64 / 255, atol=1e-6)


@pytest.mark.parametrize("embedded", [None, "sRGB"])
def test_samples_stay_as_they_are_without_a_profile_or_with_srgb_s(
    tmp_path: Path, embedded: str | None
) -> None:
    options = {} if embedded is None else {"icc_profile": srgb_profile()}
    original = colours()
    pixels, _ = load(saved(tmp_path, Image.fromarray(original), **options))
    np.testing.assert_array_equal(np.round(pixels[0] * 255), original)


def test_a_damaged_profile_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (2, 2)), icc_profile=b"no profile")
    with pytest.raises(ImageError, match=r"a\.png: the picture cannot be decoded"):
        load(path)


@pytest.mark.parametrize("name", ["IMG_1.heic", "IMG_1.jpg"])
@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0heix", b"hevc\0\0\0\0mif1"])
def test_without_its_reader_a_picture_of_an_iphone_is_called_heic_not_damaged(
    tmp_path: Path, name: str, brands: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / name, b"\0\0\0\x18ftyp" + brands)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"a HEIC picture; install the reader .*--extra heic.*or export"):
        load(path)


@pytest.mark.parametrize("name", ["IMG_1.heic", "IMG_1.jpg"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_of_an_iphone_is_read_upright(tmp_path: Path, name: str, orientation: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32] = (250, 10, 10)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    heif = pillow_heif.from_pillow(Image.fromarray(stored))
    heif.add_from_pillow(Image.new("RGB", (16, 16)))  # a preview, which is no frame
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes(), primary_index=0)
    path = (tmp_path / "a.heic").rename(tmp_path / name)
    samples, _ = images.read(path)
    assert samples.dtype == np.uint8
    np.testing.assert_allclose(samples[0].astype(int), UPRIGHT[orientation](stored), atol=40)
    assert np.abs(samples[0].astype(int) - UPRIGHT[orientation](stored)).mean() < 3


@pytest.mark.parametrize("kind", ["L", "RGB", "RGBA"])
def test_a_large_picture_takes_little_more_memory_than_its_samples(tmp_path: Path, kind: str) -> None:
    """numpy's memory; PIL's own is four bytes a pixel, whatever it holds."""
    side = 1500
    path = saved(tmp_path, Image.new(kind, (side, side)))
    tracemalloc.start()
    samples, mask = images.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert samples.dtype == np.uint8
    assert peak < 2.5 * (samples.nbytes + mask.nbytes)


def test_a_picture_too_large_for_the_machine_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, Image.new("RGB", (400, 300)))
    monkeypatch.setattr(images, "machine_memory", lambda: 3_000_000)
    with pytest.raises(ImageError, match=r"takes 1\.7 MB, more than half of this machine's memory; scale"):
        images.read(path)
    assert "half of this machine's memory" in (images.check(path) or "")


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_a_large_picture_below_the_limit_is_read_without_a_warning_of_pil(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder, suffix: str
) -> None:
    path = saved(tmp_path, Image.new("RGB", (40, 40)), f"a.{suffix}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    load(path)
    assert [str(warning.message) for warning in recwarn] == []
