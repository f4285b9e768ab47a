"""LoadImage and SaveImage: ComfyUI's nodes of these names; no file is ever lost."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from run_graph.graph import Graph, Node
from run_graph.nodes import LoadImage, SaveImage
from run_graph.runtime.engine.session import Session
from run_graph.runtime.files import outputs as files
from run_graph.runtime.generation import Generation, PictureFile, Reference
from run_graph.runtime.images import reading
from run_graph.runtime.images.exif import read_comfyui_documents, read_mflux_comment
from run_graph.runtime.values import Image

ORIENTATION = 0x0112
GENERATION = Generation(
    prompt="a fox",
    references=(),
    parameters={"seed": 7, "steps": 4, "guidance": 3.5, "width": 32, "height": 16},
    model="tiny",
    quantize=None,
)


def problems(node: Node, bench: Any) -> list[str]:
    return [problem.message for problem in node.check(bench.environment)]


def picture(height: int = 16, width: int = 32, value: float = 0.5, batch: int = 1) -> Image:
    return Image(np.full((batch, height, width, 3), value, np.float32), generation=GENERATION)


# -- LoadImage --------------------------------------------------------------------------------------


def test_a_picture_loads_as_floats_with_a_batch_axis_and_remembers_its_name(bench: Any) -> None:
    samples = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    PilImage.fromarray(samples).save(bench.folder / "a.png")
    loaded = bench.run(LoadImage(image="a.png"))
    np.testing.assert_allclose(loaded.image.pixels, samples[None] / 255, atol=1e-7)
    assert loaded.image.pixels.dtype == np.float32
    assert loaded.image.source == PictureFile("a.png")
    np.testing.assert_array_equal(loaded.mask.values, np.zeros((1, 64, 64)))


@pytest.mark.parametrize(("background", "expected"), [("none", [1, 0, 0]), ("white", [1, 1, 1])])
def test_transparency_becomes_the_mask_and_colours_are_kept_unless_a_background_is_named(
    bench: Any, background: Any, expected: list[int]
) -> None:
    PilImage.fromarray(np.array([[[255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)).save(bench.folder / "a.png")
    loaded = bench.run(LoadImage(image="a.png", background=background))
    np.testing.assert_array_equal(loaded.image.pixels[0, 0], [expected, [0, 0, 0]])
    np.testing.assert_array_equal(loaded.mask.values, [[[1, 0]]])
    assert loaded.image.source == PictureFile("a.png", background)


@pytest.mark.parametrize(("frames", "count"), [("all", 2), ("first", 1)])
def test_an_animation_is_a_batch_of_its_frames(bench: Any, frames: Any, count: int) -> None:
    pictures = [PilImage.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pictures[0].save(bench.folder / "a.gif", save_all=True, append_images=pictures[1:])
    loaded = bench.run(LoadImage(image="a.gif", frames=frames))
    np.testing.assert_array_equal(loaded.image.pixels[:, 0, 0], [[1, 0, 0], [0, 0, 1]][:count])
    assert loaded.mask.values.shape == (count, 64, 64)


def test_too_large_an_animation_is_reported_before_the_run(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [PilImage.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pictures[0].save(bench.folder / "a.gif", save_all=True, append_images=pictures[1:])
    monkeypatch.setattr(reading, "MAX_PIXELS", 20)
    [message] = problems(LoadImage(image="a.gif"), bench)
    assert "2 frames of 4 x 4 pixels exceed the limit of 20 pixels in all" in message
    assert problems(LoadImage(image="a.gif", frames="first"), bench) == []


def test_the_exif_orientation_is_applied(bench: Any) -> None:
    exif = PilImage.Exif()
    exif[ORIENTATION] = 6  # the camera was turned: the first row is the right edge
    left_black = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    PilImage.fromarray(left_black).save(bench.folder / "a.png", exif=exif)
    loaded = bench.run(LoadImage(image="a.png"))
    assert loaded.image.pixels.shape == (1, 2, 1, 3)
    np.testing.assert_array_equal(loaded.image.pixels[0, :, 0, 0], [0, 1])


def test_the_fingerprint_follows_the_content_not_the_name(bench: Any) -> None:
    PilImage.new("RGB", (4, 4), "red").save(bench.folder / "a.png")
    (bench.folder / "b.png").write_bytes((bench.folder / "a.png").read_bytes())
    first = LoadImage(image="a.png").fingerprint(bench.environment)
    assert LoadImage(image="b.png").fingerprint(bench.environment) == first
    PilImage.new("RGB", (4, 4), "blue").save(bench.folder / "a.png")
    assert LoadImage(image="a.png").fingerprint(bench.environment) != first


def test_a_missing_picture_is_reported_before_the_run_with_a_similar_name(bench: Any) -> None:
    PilImage.new("RGB", (4, 4)).save(bench.folder / "sunset.png")
    [message] = problems(LoadImage(image="sunsat.png"), bench)
    assert "no file 'sunsat.png'" in message
    assert "did you mean 'sunset.png'?" in message


def test_a_file_that_is_not_a_picture_is_reported_before_the_run(bench: Any) -> None:
    (bench.folder / "a.png").write_text("hello")
    [message] = problems(LoadImage(image="a.png"), bench)
    assert "a.png: damaged, or not a picture" in message


def test_a_good_picture_has_no_problems(bench: Any) -> None:
    PilImage.new("RGB", (4, 4)).save(bench.folder / "a.png")
    assert problems(LoadImage(image="a.png"), bench) == []


# -- SaveImage --------------------------------------------------------------------------------------


def test_numbers_continue_and_no_picture_is_overwritten(bench: Any) -> None:
    node = SaveImage(images=picture(), filename_prefix="fox")
    paths = [Path(bench.run(node).path).name for _ in range(3)]
    assert paths == bench.saved == ["fox_00001_.png", "fox_00002_.png", "fox_00003_.png"]


def test_pixels_survive_rounded_to_8_bits(bench: Any) -> None:
    pixels = np.linspace(0, 1, 16 * 32 * 3, dtype=np.float32).reshape(1, 16, 32, 3)
    path = bench.run(SaveImage(images=Image(pixels))).path
    np.testing.assert_array_equal(np.asarray(PilImage.open(path)), np.round(pixels[0] * 255))


def test_all_pictures_of_a_batch_are_saved(bench: Any) -> None:
    pixels = np.stack([np.full((4, 4, 3), value, np.float32) for value in (0, 1)])
    path = bench.run(SaveImage(images=Image(pixels), filename_prefix="b")).path
    assert bench.saved == ["b_00001_.png", "b_00002_.png"]
    assert path.endswith("b_00001_.png")
    assert np.asarray(PilImage.open(bench.folder / "out" / "b_00002_.png")).min() == 255


def test_a_prefix_may_name_folders_and_the_size(bench: Any) -> None:
    bench.run(SaveImage(images=picture(), filename_prefix="foxes/%width%x%height%"))
    assert bench.saved == ["foxes/32x16_00001_.png"]


@pytest.mark.parametrize("prefix", ["../fox", "/tmp/fox", "a/../../fox", "..\\fox", "", "a/.."])
def test_a_prefix_that_leaves_the_output_folder_is_reported_before_the_run(bench: Any, prefix: str) -> None:
    [message] = problems(SaveImage(images=picture(), filename_prefix=prefix), bench)
    assert repr(prefix) in message


def test_a_prefix_that_leaves_the_output_folder_by_a_link_is_reported_before_the_run(bench: Any) -> None:
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "link").symlink_to(bench.folder)
    [message] = problems(SaveImage(images=picture(), filename_prefix="link/fox"), bench)
    assert message.startswith("file name prefix 'link/fox' leads outside the output folder")


def test_a_prefix_that_leads_through_a_file_is_reported_before_the_run(bench: Any) -> None:
    (bench.folder / "out").mkdir()
    (bench.folder / "out" / "foxes").touch()
    [message] = problems(SaveImage(images=picture(), filename_prefix="foxes/red"), bench)
    assert message.endswith(f"{bench.folder / 'out' / 'foxes'} is a file")


def test_an_output_folder_that_is_a_file_is_reported_before_the_run(bench: Any) -> None:
    (bench.folder / "out").write_text("here first")
    [message] = problems(SaveImage(images=picture()), bench)
    assert message == f"cannot write into {bench.folder / 'out'}: {bench.folder / 'out'} is a file"


def test_an_output_folder_below_a_file_is_reported_before_the_run(bench: Any) -> None:
    (bench.folder / "file").touch()
    bench.environment = replace(bench.environment, output_directory=bench.folder / "file" / "a" / "b")
    [message] = problems(SaveImage(images=picture()), bench)
    assert message.endswith(f"{bench.folder / 'file'} is a file")


def test_a_folder_without_permission_is_reported_before_the_run(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write anywhere
    [message] = problems(SaveImage(images=picture()), bench)
    assert message == f"cannot write into {bench.folder / 'out'}: writing in {bench.folder} is not permitted"


def test_a_folder_where_the_system_refuses_files_is_reported_before_the_run(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files.tempfile, "mkdtemp", refused)
    [message] = problems(SaveImage(images=picture()), bench)
    assert message == f"cannot write into {bench.folder / 'out'}: Operation not permitted"


def test_checking_leaves_nothing_behind(bench: Any) -> None:
    before = list(bench.folder.iterdir())
    assert problems(SaveImage(images=picture()), bench) == []
    assert list(bench.folder.iterdir()) == before
    (bench.folder / "out").mkdir()
    assert problems(SaveImage(images=picture()), bench) == []
    assert list((bench.folder / "out").iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_no_file_and_says_how_much_was_needed(
    bench: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(handle: int) -> None:
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(files.SaveError, match=r"it needs [\d,]+ bytes and [\d,]+ bytes are free; free some"):
        bench.run(SaveImage(images=picture()))
    assert bench.saved == []


@pytest.mark.parametrize(
    ("kept", "documents"), [("all", {"prompt", "run_graph"}), ("settings", {"run_graph"}), ("none", set())]
)
def test_a_file_says_as_much_about_itself_as_is_wanted(bench: Any, kept: Any, documents: set[str]) -> None:
    path = bench.run(SaveImage(images=picture(), metadata=kept)).path
    found = PilImage.open(path).info
    assert {"prompt", "run_graph"} & found.keys() == documents
    assert ("exif" in found) == ("run_graph" in documents)


@pytest.mark.parametrize("saved", ["jpeg", "webp", "avif"])
def test_other_formats_are_saved_with_their_suffix_and_metadata(bench: Any, saved: Any) -> None:
    path = Path(bench.run(SaveImage(images=picture(), format=saved, quality=70)).path)
    assert path.suffix == {"jpeg": ".jpg", "webp": ".webp", "avif": ".avif"}[saved]
    comment = read_mflux_comment(path)
    assert comment is not None
    assert comment["seed"] == GENERATION.parameters["seed"]
    assert "prompt" in read_comfyui_documents(path)


def test_a_jpeg_whose_metadata_do_not_fit_is_saved_with_a_warning(bench: Any) -> None:
    image = replace(picture(), generation=replace(GENERATION, prompt="a fox " * 20_000))
    path = Path(bench.run(SaveImage(images=image, format="jpeg")).path)
    assert PilImage.open(path).size
    assert read_mflux_comment(path) is None
    assert any("the settings of this picture cannot be kept" in text for text in bench.warnings)


def test_a_picture_in_8_bits_is_saved_as_it_was_read(bench: Any, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    PilImage.fromarray(samples).save(tmp_path / "a.png")
    loaded = bench.run(LoadImage(image=str(tmp_path / "a.png"))).image
    assert loaded.samples.dtype == np.uint8
    path = bench.run(SaveImage(images=loaded)).path
    np.testing.assert_array_equal(np.asarray(PilImage.open(path)), samples)


def test_a_loaded_picture_is_saved_without_settings_that_it_does_not_have(bench: Any) -> None:
    path = bench.run(SaveImage(images=replace(picture(), generation=None))).path
    settings = json.loads(PilImage.open(path).info["run_graph"])
    assert settings.keys() == {"versions", "seconds", "input_directories"}


def test_each_picture_of_a_batch_is_saved_with_its_own_seed(bench: Any) -> None:
    image = replace(picture(batch=3), generation=GENERATION.with_parameters({"seed": 2**64 - 1}))
    path = bench.run(SaveImage(images=image)).path
    assert bench.saved == [f"ComfyUI_0000{number}_.png" for number in (1, 2, 3)]
    assert path.endswith(bench.saved[0])
    folder = bench.environment.output_directory
    infos = [PilImage.open(folder / name).info for name in bench.saved]
    assert [json.loads(info["run_graph"])["seed"] for info in infos] == [2**64 - 1, 0, 1]


def test_the_settings_name_each_reference_in_order(bench: Any) -> None:
    references = (
        Reference("b.png", mode="low", interpolation="area", tokens=36),
        Reference("a.png", interpolation="bicubic", factor=2.5, tokens=121, strength=0.8),
    )
    image = replace(picture(), generation=replace(GENERATION, references=references))
    settings = json.loads(PilImage.open(bench.run(SaveImage(images=image)).path).info["run_graph"])
    assert settings["redux_image_paths"] == ["b.png", "a.png"]
    assert settings["redux_image_strengths"] == [1.0, 0.8]
    assert settings["redux_tokens"] == [36, 121]
    assert settings["redux_mode"] == ["low", "factor 2.5"]
    assert settings["interpolation_mode"] == ["area", "bicubic"]


def test_a_saved_picture_that_is_gone_is_saved_again(bench: Any) -> None:
    """A result of an earlier run counts only as long as its file is there."""
    PilImage.new("RGB", (8, 8), "teal").save(bench.folder / "teal.png")
    g = Graph()
    photo = g.add(LoadImage(image="teal.png"))
    saved = g.add(SaveImage(images=photo.image, filename_prefix="copy"))
    session = Session()

    def path() -> Path:
        result = session.run(g.workflow, environment=bench.environment)
        return Path(result.value(saved.path))

    first = path()
    assert path() == first
    assert bench.saved == ["copy_00001_.png"]
    first.unlink()
    assert path().is_file()
