"""Nodes that read and write pictures beside LoadImage and SaveImage."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageSequence

from run_graph.graph import Registry, Workflow
from run_graph.nodes import (
    NODES,
    ImageCompare,
    LoadImageMask,
    LoadImageOutput,
    MaskPreview,
    PreviewImage,
    SaveAnimatedWEBP,
    SaveImage,
    SaveImageWebsocket,
)
from run_graph.runtime.cache import NoCache
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.session import Session
from run_graph.runtime.files.bounds import Bounds, OutOfBoundsError
from run_graph.runtime.images.exif import read_comfyui_documents
from run_graph.runtime.images.png_text import read_text
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Image, Mask

CLEAR = np.array([[[255, 0, 51, 0], [0, 102, 0, 255]]], np.uint8)


def picture(value: float = 0.5, batch: int = 1, channels: int = 3) -> Image:
    return Image.from_comfyui(np.full((batch, 4, 6, channels), value, np.float32))


def messages(node: object, bench: NodeBench) -> list[str]:
    return [problem.message for problem in node.check(bench.environment)]  # type: ignore[attr-defined]


@pytest.fixture
def files(bench: NodeBench) -> NodeBench:
    """A bench with clear.png and opaque.png."""
    PilImage.fromarray(CLEAR).save(bench.folder / "clear.png")
    PilImage.fromarray(CLEAR[..., :3].copy()).save(bench.folder / "opaque.png")
    return bench


# -- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "expected"), [("alpha", [1, 0]), ("red", [1, 0]), ("green", [0, 0.4]), ("blue", [0.2, 0])]
)
def test_a_channel_of_a_file_is_a_mask(files: NodeBench, channel: str, expected: list[float]) -> None:
    mask = files.run(LoadImageMask(image="clear.png", channel=channel)).mask
    np.testing.assert_allclose(mask.values, [[expected]], atol=1e-6)


def test_an_opaque_file_has_an_empty_mask(files: NodeBench) -> None:
    np.testing.assert_array_equal(
        files.run(LoadImageMask(image="opaque.png")).mask.values, np.zeros((1, 64, 64))
    )


def test_the_mask_of_a_missing_file_is_reported_before_the_run(files: NodeBench) -> None:
    [message] = messages(LoadImageMask(image="cleer.png"), files)
    assert "no file 'cleer.png'" in message
    assert messages(LoadImageMask(image="clear.png"), files) == []


def test_masks_of_the_same_file_under_two_names_have_one_fingerprint(files: NodeBench) -> None:
    (files.folder / "copy.png").write_bytes((files.folder / "clear.png").read_bytes())
    prints = [LoadImageMask(image=name).fingerprint(files.environment) for name in ("clear.png", "copy.png")]
    assert prints[0] == prints[1] != LoadImageMask(image="opaque.png").fingerprint(files.environment)


@pytest.mark.parametrize("name", ["a_00001_.png", "a_00001_.png [output]"])
def test_a_picture_is_read_from_the_output_folder(bench: NodeBench, name: str) -> None:
    bench.run(SaveImage(images=picture(), filename_prefix="a"))
    node = LoadImageOutput(image=name)
    assert messages(node, bench) == []
    assert bench.run(node).image.samples[0, 0, 0].tolist() == [127] * 3


def test_the_output_folder_is_the_only_one_that_is_searched(files: NodeBench) -> None:
    [message] = messages(LoadImageOutput(image="clear.png"), files)
    assert "clear.png" in message


def test_the_bounds_of_a_workflow_hold_for_the_output_folder(bench: NodeBench) -> None:
    bench.run(SaveImage(images=picture(), filename_prefix="a"))
    bounded = RunEnvironment([bench.folder], bench.folder / "out", Bounds((bench.folder / "in",)))
    with pytest.raises(OutOfBoundsError):
        LoadImageOutput(image="a_00001_.png").fingerprint(bounded)


# -- saving -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("made_by", "expected"), [(Image, 178), (Image.from_comfyui, 177)])
def test_what_comfyuis_nodes_computed_is_cut_to_8_bits_and_ours_is_rounded(
    bench: NodeBench, made_by: object, expected: int
) -> None:
    image = made_by(np.full((1, 2, 2, 3), 177.7 / 255, np.float32))  # type: ignore[operator]
    path = bench.run(SaveImage(images=image)).path
    assert np.asarray(PilImage.open(path)).min() == np.asarray(PilImage.open(path)).max() == expected


@pytest.mark.parametrize("saved", ["png", "webp", "avif"])
def test_an_alpha_channel_is_saved(bench: NodeBench, saved: str) -> None:
    pixels = np.concatenate([np.full((1, 8, 8, 3), 0.5), np.zeros((1, 8, 8, 1))], -1).astype(np.float32)
    path = bench.run(SaveImage(images=Image(pixels), format=saved, quality=100)).path
    with PilImage.open(path) as image:
        assert image.mode == "RGBA"
        assert np.asarray(image)[..., 3].max() == 0
    assert bench.warnings == []


def test_jpeg_has_no_alpha_and_the_user_is_told(bench: NodeBench) -> None:
    path = bench.run(SaveImage(images=picture(channels=4), format="jpeg")).path
    assert PilImage.open(path).mode == "RGB"
    assert bench.warnings == [
        "a JPEG file has no transparency: this picture's was left out; save as png, webp or avif to keep it"
    ]


def test_previews_go_into_their_own_folder_and_carry_the_graph(bench: NodeBench) -> None:
    path = bench.run(PreviewImage(images=picture(batch=2))).path
    assert bench.saved == ["preview/ComfyUI_00001_.png", "preview/ComfyUI_00002_.png"]
    assert path.endswith("ComfyUI_00001_.png")
    assert json.loads(read_text(Path(path))["prompt"])["save"]["class_type"] == "SaveImage"


def test_a_masks_preview_is_grey(bench: NodeBench) -> None:
    path = bench.run(MaskPreview(mask=Mask(np.full((1, 2, 3), 0.2, np.float32)))).path
    assert bench.saved == ["preview/ComfyUI_00001_.png"]
    np.testing.assert_array_equal(np.asarray(PilImage.open(path)), np.full((2, 3, 3), 51))


def test_a_comparison_writes_what_it_is_given(bench: NodeBench) -> None:
    both = ImageCompare(image_a=picture(0), image_b=picture(1, channels=4), compare_view={"any": 1})
    assert bench.run(both).path.endswith("ComfyUI_00001_.png")
    modes = [PilImage.open(bench.folder / "out" / name).mode for name in bench.saved]
    assert modes == ["RGB", "RGBA"]
    assert bench.run(ImageCompare()).path == ""
    assert len(bench.saved) == 2


@pytest.mark.parametrize("node", [PreviewImage(images=picture()), SaveAnimatedWEBP(images=picture())])
def test_a_file_that_is_gone_is_written_again(bench: NodeBench, node: PreviewImage) -> None:
    outputs = bench.run(node)
    assert node.is_still_valid(outputs)
    Path(outputs.path).unlink()
    assert not node.is_still_valid(outputs)


def test_an_output_folder_that_cannot_be_written_is_reported_before_the_run(bench: NodeBench) -> None:
    (bench.folder / "out").write_text("a file")
    for node in (PreviewImage(images=picture()), SaveAnimatedWEBP(images=picture())):
        [message] = messages(node, bench)
        assert "is a file" in message
        [effect] = node.effects(RunEnvironment([], bench.folder / "elsewhere"))
        assert effect.kind == "write"


def test_a_picture_for_clients_is_not_written_and_the_user_is_told(bench: NodeBench) -> None:
    bench.run(SaveImageWebsocket(images=picture()))
    assert bench.saved == []
    [warning] = bench.warnings
    assert "SaveImageWebsocket wrote nothing" in warning


# -- animations -------------------------------------------------------------------------------------


def test_a_batch_becomes_an_animation_that_carries_the_graph(bench: NodeBench) -> None:
    frames = np.random.default_rng(0).random((3, 8, 8, 4), np.float32)
    node = SaveAnimatedWEBP(images=Image.from_comfyui(frames), filename_prefix="moving", fps=8)
    path = Path(bench.run(node).path)
    assert bench.saved == ["moving_00001_.webp"]
    with PilImage.open(path) as image:
        durations, found = [], []
        for frame in ImageSequence.Iterator(image):
            found.append(np.asarray(frame.convert("RGBA")))
            durations.append(frame.info["duration"])
        assert image.info["loop"] == 0
    assert durations == [125, 125, 125]
    seen = frames[..., 3] * 255 >= 1  # WebP does not keep colours that are wholly transparent
    np.testing.assert_array_equal(np.stack(found)[seen], (frames * 255).astype(np.uint8)[seen])
    assert "prompt" in read_comfyui_documents(path)


def test_a_lossy_animation_is_smaller(bench: NodeBench) -> None:
    frames = Image.from_comfyui(np.random.default_rng(0).random((2, 64, 64, 3), np.float32))
    sizes = [
        Path(bench.run(SaveAnimatedWEBP(images=frames, lossless=lossless, quality=10)).path).stat().st_size
        for lossless in (True, False)
    ]
    assert sizes[1] < sizes[0] / 2


# -- in a workflow ----------------------------------------------------------------------------------


def test_what_reads_a_previews_output_reads_the_picture(files: NodeBench) -> None:
    workflow = Workflow.from_json(
        {
            "photo": {"class_type": "LoadImage", "inputs": {"image": "opaque.png"}},
            "preview": {"class_type": "PreviewImage", "inputs": {"images": ["photo", 0]}},
            "size": {"class_type": "GetImageSize", "inputs": {"image": ["preview", 0]}},
        }
    )
    session = Session(registry=Registry(NODES), cache=NoCache())
    result = session.run(workflow, targets=["size", "preview"], environment=files.environment)
    assert result.outputs("size").width == 2  # type: ignore[attr-defined]
    assert files.saved == ["preview/ComfyUI_00001_.png"]
