"""Pictures as files: their samples, and what each format carries about itself."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from run_graph.runtime.images.exif import read_comfyui_documents, read_mflux_comment
from run_graph.runtime.images.formats import SUFFIXES, SavedFormat, suffix_of
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.images.reading import read
from run_graph.runtime.images.writing import encode, png, to_png

SETTINGS = {"seed": 42, "prompt": "a fox 狐", "guidance": 3.5}
GRAPH = {"n": {"class_type": "Keep", "inputs": {"text": "狐 café", "value": 0.1}}}
DOCUMENTS = {"prompt": GRAPH, "run_graph": SETTINGS}
SAMPLES = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def carried(path: Path) -> dict[str, Any]:
    """The documents that a file carries, wherever it does."""
    texts = read_comfyui_documents(path) | read_text(path)
    found = {name: json.loads(text) for name, text in texts.items()}
    comment = read_mflux_comment(path)
    return found if comment is None else {"run_graph": comment, **found}


def test_a_png_written_and_read_is_the_same_picture_rounded_to_8_bits(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((5, 7, 3), np.float32)
    samples, _ = read(write(tmp_path / "a.png", to_png(pixels)))
    assert samples.dtype == np.uint8
    np.testing.assert_allclose(samples[0] / 255, pixels, atol=0.5 / 255 + 1e-6)


def test_samples_are_rounded_and_clipped_not_truncated(tmp_path: Path) -> None:
    values = np.array([-1, 0.4, 0.6, 254.6, 255.4, 999]) / 255
    data = to_png(np.repeat(values[None, :, None], 3, axis=2))
    samples, _ = read(write(tmp_path / "a.png", data))
    assert samples[0, 0, :, 0].tolist() == [0, 0, 1, 255, 255, 255]


def test_latin_and_other_text_is_kept_and_pil_reads_the_same(tmp_path: Path) -> None:
    text = {"prompt": json.dumps({"a": 1}), "workflow": "a café\n" * 1000, "note": "狐 🦊"}
    path = write(tmp_path / "a.png", png(Image.fromarray(SAMPLES), text))
    assert read_text(path) == text
    with Image.open(path) as image:
        assert image.text == text  # type: ignore[attr-defined]


@pytest.mark.parametrize("saved", get_args(SavedFormat))
@pytest.mark.parametrize("kept", [("prompt", "run_graph"), ("run_graph",), ("prompt",), ()])
def test_every_format_carries_the_documents(
    tmp_path: Path, saved: SavedFormat, kept: tuple[str, ...]
) -> None:
    documents: dict[str, Any] = {name: DOCUMENTS[name] for name in kept}
    picture = encode(SAMPLES, saved, documents)
    assert picture.left_out == ()
    path = write(tmp_path / f"a{suffix_of(saved)}", picture.data)
    with Image.open(path) as image:
        assert image.format == saved.upper()
        assert image.size == (24, 16)
    assert carried(path) == documents


@pytest.mark.parametrize(("saved", "error"), [("png", 0), ("webp", 0), ("jpeg", 12), ("avif", 12)])
def test_the_best_quality_is_lossless_or_near(tmp_path: Path, saved: SavedFormat, error: int) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(96))[..., None].repeat(3, 2).astype(np.uint8)
    best, worst = (
        read(write(tmp_path / f"{quality}{suffix_of(saved)}", encode(smooth, saved, {}, quality).data))[0][0]
        for quality in (100, 5)
    )
    assert np.abs(best.astype(int) - smooth).max() <= error
    if saved != "png":
        assert np.abs(worst.astype(int) - smooth).mean() > np.abs(best.astype(int) - smooth).mean()


def test_mflux_s_own_reader_reads_the_comment_beside_a_graph(tmp_path: Path) -> None:
    reader = pytest.importorskip("mflux.utils.metadata_reader")
    for saved in get_args(SavedFormat):
        path = write(tmp_path / f"a{suffix_of(saved)}", encode(SAMPLES, saved, DOCUMENTS).data)
        assert reader.MetadataReader.read_exif_metadata(path) == SETTINGS


@pytest.mark.parametrize(
    ("graph", "settings", "left_out"),
    [
        (10, 10, ()),
        (70_000, 10, ("prompt",)),
        (40_000, 40_000, ("prompt",)),
        (10, 70_000, ("prompt", "run_graph")),
    ],
)
def test_what_does_not_fit_into_a_jpeg_is_named(
    tmp_path: Path, graph: int, settings: int, left_out: tuple[str, ...]
) -> None:
    documents = {"prompt": {"text": "x" * graph}, "run_graph": {"text": "y" * settings}}
    picture = encode(SAMPLES, "jpeg", documents)
    assert picture.left_out == left_out
    kept = {name: document for name, document in documents.items() if name not in left_out}
    assert carried(write(tmp_path / "a.jpg", picture.data)) == kept
    for saved in ("png", "webp", "avif"):
        picture = encode(SAMPLES, saved, documents)  # type: ignore[arg-type]
        assert carried(write(tmp_path / f"a.{saved}", picture.data)) == documents


def test_a_webp_that_comfyui_saved_is_read(tmp_path: Path) -> None:
    """ComfyUI writes Model and Make with PIL, without a settings comment."""
    picture = Image.fromarray(SAMPLES)
    exif = picture.getexif()
    exif[0x0110] = f"prompt:{json.dumps(GRAPH)}"
    exif[0x010F] = "workflow:" + json.dumps({"nodes": []})
    picture.save(tmp_path / "a.webp", exif=exif)
    assert carried(tmp_path / "a.webp") == {"prompt": GRAPH, "workflow": {"nodes": []}}


def test_each_suffix_is_of_one_format() -> None:
    assert {suffix_of(saved) for saved in get_args(SavedFormat)} <= SUFFIXES.keys()
    assert set(SUFFIXES.values()) == set(get_args(SavedFormat))
