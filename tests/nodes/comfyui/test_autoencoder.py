"""What nodes for the autoencoder add to the functions of runtime/sampling: alpha, masks, checks, facts."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from run_graph.nodes import (
    DecodeLatent,
    LoadFlux,
    VAEDecode,
    VAEDecodeTiled,
    VAEEncode,
    VAEEncodeForInpaint,
    VAEEncodeTiled,
)
from run_graph.runtime.events import NodeProgress
from run_graph.runtime.generation import Generation
from run_graph.runtime.models.handles import Vae
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Image, Latent, Mask

RNG = np.random.default_rng(0)
PIXELS = RNG.random((2, 37, 44, 4), np.float32)
GENERATION = Generation(prompt="", references=(), parameters={"seed": 7}, model="tiny", quantize=None)


@pytest.fixture
def vae(bench: NodeBench, small_model: str) -> Vae:
    return bench.run(LoadFlux(model=small_model)).vae


@pytest.fixture
def latent(bench: NodeBench, vae: Vae) -> Latent:
    return bench.run(VAEEncode(pixels=Image(PIXELS), vae=vae)).latent


def test_sides_are_cut_and_alpha_is_left_out(bench: NodeBench, vae: Vae, latent: Latent) -> None:
    assert latent.samples.shape == (2, 4, 5, 16)
    middle = Image(np.ascontiguousarray(PIXELS[:, 2:34, 2:42, :3]))
    again = bench.run(VAEEncode(pixels=middle, vae=vae)).latent
    np.testing.assert_array_equal(np.array(again.samples), np.array(latent.samples))


def test_decoding_is_decode_latents(bench: NodeBench, vae: Vae, latent: Latent) -> None:
    found = bench.run(VAEDecode(samples=latent, vae=vae)).image
    own = bench.run(DecodeLatent(latent=latent, vae=vae)).image
    np.testing.assert_array_equal(found.pixels, own.pixels)
    assert found.truncates
    assert not own.truncates


def test_a_batch_is_computed_one_picture_at_a_time(bench: NodeBench, vae: Vae, latent: Latent) -> None:
    for node in (VAEDecode(samples=latent, vae=vae), VAEEncode(pixels=Image(PIXELS), vae=vae)):
        before = len(bench.events)
        bench.run(node)
        steps = [event for event in bench.events[before:] if isinstance(event, NodeProgress)]
        assert [(step.value, step.maximum) for step in steps] == [(1, 2), (2, 2)]


def test_a_picture_knows_how_it_was_sampled(bench: NodeBench, vae: Vae) -> None:
    given = Latent(mx.zeros((1, 4, 4, 16)), GENERATION)
    for node in (VAEDecode(samples=given, vae=vae), VAEDecodeTiled(samples=given, vae=vae)):
        assert bench.run(node).image.generation == GENERATION


def test_tiles_report_progress_and_can_be_stopped(bench: NodeBench, vae: Vae) -> None:
    given = Latent(mx.array(RNG.standard_normal((1, 12, 12, 16), np.float32)))
    found = bench.run(VAEDecodeTiled(samples=given, vae=vae, tile_size=64, overlap=16)).image
    assert found.shape == (1, 96, 96, 3)
    steps = [(step.value, step.maximum) for step in bench.events if isinstance(step, NodeProgress)]
    assert steps[-1] == (len(steps), len(steps))
    assert len(steps) > 10


def test_an_overlap_is_at_most_a_quarter_of_a_tile(bench: NodeBench, vae: Vae) -> None:
    given = Latent(mx.array(RNG.standard_normal((1, 12, 12, 16), np.float32)))
    wide, quarter = (
        bench.run(VAEDecodeTiled(samples=given, vae=vae, tile_size=64, overlap=overlap)).image.pixels
        for overlap in (4096, 16)
    )
    np.testing.assert_array_equal(wide, quarter)


@pytest.mark.parametrize(
    ("inputs", "input_name", "said"),
    [
        ({"tile_size": 200}, "tile_size", "ends within a latent cell"),
        ({"overlap": 12}, "overlap", "begins within a latent cell"),
        ({"tile_size": 64, "overlap": 32}, "overlap", "by half of their side or more"),
    ],
)
def test_tiles_that_cannot_be_encoded_are_found_before_the_run(
    bench: NodeBench, vae: Vae, inputs: dict[str, Any], input_name: str, said: str
) -> None:
    node = VAEEncodeTiled(pixels=Image(PIXELS), vae=vae, **inputs)
    [problem] = bench.problems(node)
    assert problem.input == input_name
    assert said in problem.message
    assert bench.problems(VAEEncodeTiled(pixels=Image(PIXELS), vae=vae)) == []


def test_the_masked_part_is_greyed_out_and_may_change(bench: NodeBench, vae: Vae) -> None:
    mask = np.zeros((1, 37, 44), np.float32)
    mask[0, 18, 20] = 1
    node = VAEEncodeForInpaint(pixels=Image(PIXELS), vae=vae, mask=Mask(mask), grow_mask_by=6)
    found = bench.run(node).latent
    grey = PIXELS[..., :3].copy()
    grey[:, 18, 20] = 0.5
    expected = bench.run(VAEEncode(pixels=Image(grey), vae=vae)).latent
    np.testing.assert_allclose(np.array(found.samples), np.array(expected.samples), atol=1e-5)
    assert found.noise_mask.shape == (1, 32, 40)
    masked = np.argwhere(found.noise_mask[0])
    assert (masked.min(0).tolist(), masked.max(0).tolist()) == ([14, 16], [19, 21])
