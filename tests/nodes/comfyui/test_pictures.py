"""What nodes for pictures and masks add to the functions of runtime/images: limits, facts, 8-bit samples."""

from typing import Any

import numpy as np
import pytest

from run_graph.graph import Node
from run_graph.nodes import (
    CropMask,
    EmptyImage,
    GetImageSize,
    ImageBatch,
    ImageBlur,
    ImageCrop,
    ImageFlip,
    ImageFromBatch,
    ImageGrid,
    ImageInvert,
    ImageRotate,
    ImageScale,
    ImageScaleBy,
    ImageStitch,
    ImageToMask,
    JoinImageWithAlpha,
    RepeatImageBatch,
    SolidMask,
    SplitImageWithAlpha,
)
from run_graph.runtime.generation import Generation, PictureFile
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Image, Mask

GENERATION = Generation(prompt="", references=(), parameters={"seed": 7}, model="tiny", quantize=None)
SAMPLES = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)


def photo() -> Image:
    """Three pictures as they are read from a file, in 8 bits."""
    return Image.from_file(SAMPLES, PictureFile("photo.gif"))


def sampled(batch: int = 3) -> Image:
    return Image(np.full((batch, 4, 6, 3), 0.5, np.float32), generation=GENERATION)


ONE_PICTURE: list[Any] = [
    lambda image: ImageCrop(image=image, width=3, height=2),
    lambda image: ImageFlip(image=image),
    lambda image: ImageRotate(image=image, rotation="90 degrees"),
    lambda image: ImageInvert(image=image),
    lambda image: ImageScaleBy(image=image, scale_by=2),
    lambda image: ImageBlur(image=image),
    lambda image: JoinImageWithAlpha(image=image, alpha=Mask(np.zeros((1, 2, 2), np.float32))),
    lambda image: SplitImageWithAlpha(image=image),
]


@pytest.mark.parametrize("make", ONE_PICTURE)
def test_a_changed_picture_keeps_how_it_was_made_and_is_no_file_any_more(bench: NodeBench, make: Any) -> None:
    assert bench.run(make(sampled())).image.generation == GENERATION
    changed = bench.run(make(photo())).image
    assert changed.source is None
    assert changed.truncates


@pytest.mark.parametrize("make", [*ONE_PICTURE[:3], ONE_PICTURE[-1], lambda i: ImageFromBatch(image=i)])
def test_what_only_moves_samples_keeps_them_in_8_bits(bench: NodeBench, make: Any) -> None:
    assert bench.run(make(photo())).image.samples.dtype == np.uint8


def test_a_picture_of_several_has_no_one_way_of_making(bench: NodeBench) -> None:
    nodes: list[Node] = [
        ImageBatch(image1=sampled(), image2=sampled()),
        ImageStitch(image1=sampled(), image2=sampled()),
        RepeatImageBatch(image=sampled(), amount=2),
        ImageGrid(images=sampled()),
    ]
    for node in nodes:
        [image] = vars(bench.run(node)).values()
        assert image.generation is None


@pytest.mark.parametrize(
    ("index", "length", "picked"), [(1, 1, [1]), (1, 9, [1, 2]), (-1, 1, [2]), (-9, 2, [0, 1]), (9, 1, [2])]
)
def test_picking_from_a_batch(bench: NodeBench, index: int, length: int, picked: list[int]) -> None:
    image = bench.run(ImageFromBatch(image=photo(), batch_index=index, length=length)).image
    np.testing.assert_array_equal(image.samples, SAMPLES[picked])


def test_a_picked_picture_has_its_own_seed(bench: NodeBench) -> None:
    image = bench.run(ImageFromBatch(image=sampled(), batch_index=1, length=2)).image
    assert image.generation.of_picture(1).parameters["seed"] == 9


def test_the_size_is_told(bench: NodeBench) -> None:
    assert vars(bench.run(GetImageSize(image=photo()))) == {"width": 6, "height": 4, "batch_size": 3}


def test_a_crop_begins_within_the_picture_and_ends_at_its_edge(bench: NodeBench) -> None:
    corner = bench.run(ImageCrop(image=photo(), width=9, height=9, x=99, y=2)).image
    np.testing.assert_array_equal(corner.samples, SAMPLES[:, 2:, 5:])


def test_a_mask_cannot_be_cropped_outside_itself(bench: NodeBench) -> None:
    with pytest.raises(ValueError, match="column 6 and row 0, outside a mask of 6 x 4 pixels; lower x and y"):
        bench.run(CropMask(mask=Mask(np.ones((1, 4, 6), np.float32)), x=6))


def test_a_size_of_0_by_0_changes_nothing(bench: NodeBench) -> None:
    image = photo()
    assert bench.run(ImageScale(image=image, width=0, height=0)).image.source == image.source


def test_without_a_second_picture_there_is_nothing_to_stitch(bench: NodeBench) -> None:
    image = photo()
    assert bench.run(ImageStitch(image1=image)).image.source == image.source


@pytest.mark.parametrize(
    "node",
    [EmptyImage(width=16384, height=16384, batch_size=4096), SolidMask(width=16384, height=16384)],
)
def test_what_memory_has_no_room_for_is_refused_at_once(
    bench: NodeBench, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("run_graph.runtime.images.room.machine_memory", lambda: 2**30)
    with pytest.raises(ValueError, match="more than half of this machine's memory; ask for fewer or smaller"):
        bench.run(node)


def test_an_empty_picture_has_the_colour_of_the_number(bench: NodeBench) -> None:
    image = bench.run(EmptyImage(width=2, height=1, batch_size=2, color=0x3366CC)).image
    np.testing.assert_array_equal(image.samples, np.full((2, 1, 2, 3), (0x33, 0x66, 0xCC)))


def test_alpha_goes_on_and_off_a_picture(bench: NodeBench) -> None:
    mask = Mask(np.random.default_rng(0).random((3, 4, 6), np.float32))
    joined = bench.run(JoinImageWithAlpha(image=photo(), alpha=mask)).image
    assert joined.shape == (3, 4, 6, 4)
    split = bench.run(SplitImageWithAlpha(image=joined))
    np.testing.assert_array_equal(split.image.pixels, photo().pixels)
    np.testing.assert_allclose(split.mask.values, mask.values, atol=1e-6)
    alpha = bench.run(ImageToMask(image=joined, channel="alpha")).mask
    np.testing.assert_allclose(alpha.values, 1 - mask.values, atol=1e-6)


def test_a_picture_without_alpha_is_opaque(bench: NodeBench) -> None:
    assert bench.run(SplitImageWithAlpha(image=photo())).mask.values.max() == 0
