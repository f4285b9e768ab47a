"""What nodes for latents add to the functions of runtime/sampling: limits, masks, places in a batch."""

from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from run_graph.graph.formats.editor.schema import editor_inputs_of
from run_graph.nodes import (
    EmptyLatentImage,
    EmptySD3LatentImage,
    LatentAdd,
    LatentBatch,
    LatentBlend,
    LatentComposite,
    LatentCompositeMasked,
    LatentCrop,
    LatentFlip,
    LatentFromBatch,
    LatentInterpolate,
    LatentMultiply,
    LatentRotate,
    LatentSubtract,
    LatentUpscale,
    LatentUpscaleBy,
    RepeatLatentBatch,
    SetLatentNoiseMask,
)
from run_graph.runtime.generation import Generation
from run_graph.runtime.images import room
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Latent, Mask

GENERATION = Generation(prompt="", references=(), parameters={"seed": 7}, model="tiny", quantize=None)
SAMPLES = np.random.default_rng(0).standard_normal((3, 8, 12, 16), np.float32)
MASK = np.random.default_rng(1).random((1, 64, 96), np.float32)


def latent(batch: int = 3, **facts: Any) -> Latent:
    return Latent(mx.array(SAMPLES[:batch]), **facts)


def array(value: Latent) -> np.ndarray:
    return np.array(value.samples)


# -- making -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("node_class", "channels"), [(EmptyLatentImage, 4), (EmptySD3LatentImage, 16)])
def test_empty_latents_are_zeros_and_sizes_are_rounded_down(
    bench: NodeBench, node_class: Any, channels: int
) -> None:
    found = bench.run(node_class(width=103, height=64, batch_size=2)).latent
    assert found.samples.shape == (2, 8, 12, channels)
    assert (array(found) == 0).all()
    assert found.noise_mask is found.batch_index is None


def test_what_memory_has_no_room_for_is_refused(bench: NodeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "machine_memory", lambda: 10**8)
    with pytest.raises(ValueError, match="4,096 pictures of 128 x 128 latent cells"):
        bench.run(EmptySD3LatentImage(batch_size=4096))
    with pytest.raises(ValueError, match="latent cells"):
        bench.run(RepeatLatentBatch(samples=Latent(mx.zeros((10, 64, 64, 16))), amount=64))


def test_the_editor_takes_sizes_in_steps() -> None:
    """So that a file of the editor means what the editor makes of it."""
    steps = {
        (node_class.class_type, name): each.step
        for node_class in (EmptyLatentImage, EmptySD3LatentImage, LatentUpscale, LatentCrop, LatentComposite)
        for name, each in editor_inputs_of(node_class).items()
        if each.step > 1
    }
    assert steps.pop(("EmptySD3LatentImage", "width")) == steps.pop(("EmptySD3LatentImage", "height")) == 16
    assert set(steps.values()) == {8}
    assert len(steps) == 11


# -- one latent -------------------------------------------------------------------------------------

ONE: list[Any] = [
    lambda samples: LatentUpscale(samples=samples, width=128, height=128),
    lambda samples: LatentUpscaleBy(samples=samples),
    lambda samples: LatentFlip(samples=samples),
    lambda samples: LatentRotate(samples=samples, rotation="90 degrees"),
    lambda samples: LatentCrop(samples=samples, width=64, height=64),
    lambda samples: LatentMultiply(samples=samples, multiplier=2),
    lambda samples: SetLatentNoiseMask(samples=samples, mask=Mask(MASK)),
]


@pytest.mark.parametrize("make", ONE)
def test_a_changed_latent_keeps_mask_places_and_how_it_was_made(bench: NodeBench, make: Any) -> None:
    given = latent(noise_mask=MASK, batch_index=(4, 5, 6), generation=GENERATION)
    before = array(given).copy()
    found = bench.run(make(given)).latent
    np.testing.assert_array_equal(found.noise_mask, MASK)
    assert (found.batch_index, found.generation) == ((4, 5, 6), GENERATION)
    np.testing.assert_array_equal(array(given), before)


def test_flipping_and_turning(bench: NodeBench) -> None:
    flip = {name: bench.run(LatentFlip(samples=latent(), flip_method=name)).latent for name in FLIPS}
    np.testing.assert_array_equal(array(flip[FLIPS[0]]), SAMPLES[:, ::-1])
    np.testing.assert_array_equal(array(flip[FLIPS[1]]), SAMPLES[:, :, ::-1])
    turned = array(bench.run(LatentRotate(samples=latent(), rotation="90 degrees")).latent)
    np.testing.assert_array_equal(turned[:, 0, -1], SAMPLES[:, 0, 0])  # clockwise: upper left to upper right
    whole = latent()
    for _ in range(4):
        whole = bench.run(LatentRotate(samples=whole, rotation="90 degrees")).latent
    np.testing.assert_array_equal(array(whole), SAMPLES)


FLIPS = ("x-axis: vertically", "y-axis: horizontally")


def test_upscaling_to_nothing_passes_the_latent_on(bench: NodeBench) -> None:
    given = latent()
    assert bench.run(LatentUpscale(samples=given, width=0, height=0)).latent.samples.shape == (3, 8, 12, 16)
    assert bench.run(LatentUpscaleBy(samples=given, scale_by=1.5)).latent.samples.shape == (3, 12, 18, 16)
    with pytest.raises(ValueError, match="ask for a larger size"):
        bench.run(LatentUpscaleBy(samples=given, scale_by=0.01))


# -- two latents ------------------------------------------------------------------------------------

TWO: list[Any] = [
    lambda one, other: LatentAdd(samples1=one, samples2=other),
    lambda one, other: LatentSubtract(samples1=one, samples2=other),
    lambda one, other: LatentInterpolate(samples1=one, samples2=other, ratio=0.5),
    lambda one, other: LatentBlend(samples1=one, samples2=other),
    lambda one, other: LatentComposite(samples_to=one, samples_from=other),
    lambda one, other: LatentCompositeMasked(destination=one, source=other),
]


@pytest.mark.parametrize("make", TWO)
def test_a_mixture_has_the_firsts_mask_and_places_but_was_not_sampled_so(bench: NodeBench, make: Any) -> None:
    one = latent(noise_mask=MASK, batch_index=(4, 5, 6), generation=GENERATION)
    found = bench.run(make(one, latent(1))).latent
    assert found.samples.shape == one.samples.shape
    np.testing.assert_array_equal(found.noise_mask, MASK)
    assert (found.batch_index, found.generation) == ((4, 5, 6), None)


def test_sums_differences_and_products(bench: NodeBench) -> None:
    one, other = latent(2), replace(latent(2), samples=mx.array(SAMPLES[1:]))
    added = bench.run(LatentAdd(samples1=one, samples2=other)).latent
    np.testing.assert_array_equal(array(added), SAMPLES[:2] + SAMPLES[1:])
    rest = bench.run(LatentSubtract(samples1=added, samples2=other)).latent
    np.testing.assert_allclose(array(rest), SAMPLES[:2], atol=1e-6)
    tenfold = bench.run(LatentMultiply(samples=one, multiplier=-10)).latent
    np.testing.assert_array_equal(array(tenfold), SAMPLES[:2] * -10)


def test_positions_are_in_pixels(bench: NodeBench) -> None:
    below, above = Latent(mx.zeros((1, 8, 8, 16))), Latent(mx.ones((1, 2, 2, 16)))
    for node in (
        LatentComposite(samples_to=below, samples_from=above, x=15, y=24),
        LatentCompositeMasked(destination=below, source=above, x=15, y=24),
    ):
        found = array(bench.run(node).latent)[0, ..., 0]
        assert np.argwhere(found == 1).tolist() == [[3, 1], [3, 2], [4, 1], [4, 2]]


# -- batches ----------------------------------------------------------------------------------------


def test_pictures_of_a_batch_keep_their_places(bench: NodeBench) -> None:
    masks = np.repeat(np.arange(3, dtype=np.float32) / 2, 4).reshape(3, 2, 2)
    given = latent(noise_mask=masks, generation=GENERATION)
    found = bench.run(LatentFromBatch(samples=given, batch_index=1, length=9)).latent
    np.testing.assert_array_equal(array(found), SAMPLES[1:])
    assert found.batch_index == (1, 2)
    assert found.noise_mask[:, 0, 0].tolist() == [0.5, 1]
    assert found.generation.parameters["seed"] == 8
    last = bench.run(LatentFromBatch(samples=found, batch_index=-1)).latent
    assert last.batch_index == (2,)
    np.testing.assert_array_equal(array(last), SAMPLES[2:])


def test_a_repeated_batch_goes_on_counting(bench: NodeBench) -> None:
    masks = np.repeat(np.arange(2, dtype=np.float32), 4).reshape(2, 2, 2)
    found = bench.run(
        RepeatLatentBatch(samples=latent(2, noise_mask=masks, batch_index=(1, 2)), amount=2)
    ).latent
    np.testing.assert_array_equal(array(found), np.concatenate([SAMPLES[:2]] * 2))
    assert found.batch_index == (1, 2, 3, 4)
    assert found.noise_mask[:, 0, 0].tolist() == [0, 1, 0, 1]
    plain = bench.run(RepeatLatentBatch(samples=latent(1, noise_mask=MASK), amount=3)).latent
    assert plain.batch_index is None
    assert plain.noise_mask.shape == MASK.shape


def test_joined_batches_keep_their_own_places(bench: NodeBench) -> None:
    other = Latent(mx.array(SAMPLES[:, :4, :6]), batch_index=(7, 8, 9))
    found = bench.run(LatentBatch(samples1=latent(2, noise_mask=MASK), samples2=other)).latent
    assert found.samples.shape == (5, 8, 12, 16)
    assert found.batch_index == (0, 1, 7, 8, 9)
    np.testing.assert_array_equal(found.noise_mask, MASK)
    np.testing.assert_array_equal(array(found)[:2], SAMPLES[:2])


def test_bfloat16_latents_are_computed_in_float32(bench: NodeBench) -> None:
    given = Latent(mx.array(SAMPLES).astype(mx.bfloat16))
    assert bench.run(LatentMultiply(samples=given, multiplier=3)).latent.samples.dtype == mx.float32
