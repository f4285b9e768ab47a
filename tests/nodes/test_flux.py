"""FluxSample and DecodeLatent: the same seed gives the same picture, and a run can be stopped at any step."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from flow_samples import Levels

from run_graph.graph import WorkflowError
from run_graph.nodes import DecodeLatent, FluxSample, LoadFlux
from run_graph.runtime.errors import Cancelled
from run_graph.runtime.events import NodeProgress
from run_graph.runtime.generation import Reference
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.sampling import batch as batches
from run_graph.runtime.sampling.latents import unpack
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.testing import NodeBench
from run_graph.runtime.values import Conditioning, Entry, Latent

REFERENCES = (Reference("a.png", mode="low", interpolation="area", tokens=36),)


def conditioning(width: int = 128, pooled: int = 64) -> Conditioning:
    tokens = mx.random.normal((1, 20, width), key=mx.random.key(9))
    return Conditioning((Entry(tokens, mx.ones((1, pooled)), "a fox", REFERENCES),))


def sampling(bench: NodeBench, model: str, **parameters: Any) -> FluxSample:
    flux = bench.run(LoadFlux(model=model)).flux
    settings = {"width": 48, "height": 32, "steps": 2, "seed": 1, **parameters}
    return FluxSample(**{"flux": flux, "conditioning": conditioning(), **settings})


def sample(bench: NodeBench, model: str, **parameters: Any) -> Latent:
    return bench.run(sampling(bench, model, **parameters)).latent


def array(latent: Latent) -> np.ndarray:
    return np.array(latent.samples.astype(mx.float32))


# -- FluxSample -------------------------------------------------------------------------------------


def test_the_latent_has_16_channels_at_an_eighth_of_the_size(bench: NodeBench, small_model: str) -> None:
    assert sample(bench, small_model, width=48, height=32).samples.shape == (1, 4, 6, 16)


def test_the_same_seed_gives_the_same_latent_and_another_seed_another(
    bench: NodeBench, small_model: str
) -> None:
    first, again, other = (array(sample(bench, small_model, seed=seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.1


def test_the_largest_seed_is_accepted(bench: NodeBench, small_model: str) -> None:
    assert np.isfinite(array(sample(bench, small_model, seed=2**64 - 1, steps=1))).all()


def test_the_noise_is_mfluxs_for_the_same_seed_and_size(bench: NodeBench, small_model: str) -> None:
    creator = pytest.importorskip("mflux.models.flux.latent_creator.flux_latent_creator")
    theirs = creator.FluxLatentCreator.create_noise(seed=7, height=32, width=48)
    np.testing.assert_array_equal(np.array(initial_noise(7, 48, 32)), np.array(theirs))


@pytest.mark.parametrize("size", [16, 32])
def test_levels_are_shifted_by_size_for_dev_and_not_for_schnell(
    bench: NodeBench, small_model: str, schnell_like: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    visited: list[list[float]] = []
    loop = batches.sample
    monkeypatch.setattr(batches, "sample", lambda *args: visited.append(list(args[3])) or loop(*args))
    for model in (small_model, schnell_like):
        sample(bench, model, width=size, height=size, steps=4)
    shifted, plain = visited
    np.testing.assert_allclose(plain, [1, 0.75, 0.5, 0.25, 0])
    mu = 0.5 + (1.15 - 0.5) * (size * size / 256 - 256) / (4096 - 256)
    expected = [math.exp(mu) / (math.exp(mu) + 1 / level - 1) for level in plain[:-1]]
    np.testing.assert_allclose(shifted, [*expected, 0])


def test_the_latent_follows_the_velocity_by_euler_steps(
    bench: NodeBench, schnell_like: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from run_graph.runtime.networks.transformer import FluxTransformer

    monkeypatch.setattr(FluxTransformer, "modulations", lambda self, prepared, sigmas: Levels())
    monkeypatch.setattr(FluxTransformer, "step", lambda self, latents, sigma, prepared: latents * sigma)
    latent = sample(bench, schnell_like, steps=4)
    expected = np.array(unpack(initial_noise(1, 48, 32), 48, 32))
    for level, following in pairwise([1, 0.75, 0.5, 0.25, 0]):
        expected = expected + (following - level) * expected * level
    np.testing.assert_allclose(array(latent), expected / 0.3611 + 0.1159, rtol=1e-4, atol=1e-5)


def test_guidance_matters_to_dev_and_not_to_schnell(
    bench: NodeBench, small_model: str, schnell_like: str
) -> None:
    weak, strong = (array(sample(bench, small_model, guidance=value)) for value in (1, 9))
    assert np.abs(weak - strong).max() > 1e-4
    weak, strong = (array(sample(bench, schnell_like, guidance=value)) for value in (1, 9))
    np.testing.assert_array_equal(weak, strong)


def test_the_conditioning_matters(bench: NodeBench, small_model: str) -> None:
    listening = conditioning()
    silent = listening.with_entries(lambda entry: replace(entry, tokens=mx.zeros_like(entry.tokens)))
    one, other = (array(sample(bench, small_model, conditioning=heard)) for heard in (listening, silent))
    assert np.abs(one - other).max() > 1e-4


def test_progress_counts_every_step_and_shows_the_latents(bench: NodeBench, small_model: str) -> None:
    sample(bench, small_model, steps=3)
    assert bench.steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    last = [event for event in bench.events if isinstance(event, NodeProgress)][-1]
    assert last.preview.shape == (1, 6, 64)


def test_a_cancelled_run_stops_within_a_step(bench: NodeBench, small_model: str) -> None:
    node = sampling(bench, small_model, steps=10000)
    with pytest.raises(Cancelled):
        bench.run(node, cancel_at=2)
    assert [done for done, _ in bench.steps] == [0, 1, 2]


def test_the_latent_records_how_it_was_made(bench: NodeBench, small_model: str) -> None:
    generation = sample(bench, small_model, seed=3, guidance=2.0).generation
    assert generation is not None
    assert (generation.prompt, generation.references) == ("a fox", REFERENCES)
    given = {"seed": 3, "steps": 2, "guidance": 2.0, "width": 48, "height": 32}
    assert generation.parameters.items() >= given.items()
    assert (generation.model, generation.quantize) == (small_model, None)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_batch_holds_the_pictures_of_consecutive_seeds(
    bench: NodeBench, small_model: str, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(batches, "pictures_at_once", lambda *args: at_once)
    batch = sample(bench, small_model, seed=5, batch_size=3)
    passes = math.ceil(3 / at_once)
    assert bench.steps == [(done, 2 * passes) for done in range(2 * passes + 1)]
    assert batch.samples.shape == (3, 4, 6, 16)
    assert batch.generation is not None
    for index in range(3):
        alone = sample(bench, small_model, seed=5 + index)
        np.testing.assert_allclose(array(batch)[index], array(alone)[0], atol=1e-5)
        assert batch.generation.of_picture(index) == alone.generation


def test_with_little_memory_pictures_go_one_at_a_time(tmp_path: Path, small_model: str) -> None:
    bench = NodeBench(tmp_path, ModelStore(low_ram=True))
    sample(bench, small_model, batch_size=2)
    assert bench.steps[-1] == (4, 4)


def test_reused_steps_leave_a_batch_equal_to_its_members(bench: NodeBench, small_model: str) -> None:
    batch = sample(bench, small_model, batch_size=2, steps=6, step_reuse=1.5)
    assert bench.steps[-1] == (12, 12)
    for index in range(2):
        alone = sample(bench, small_model, seed=1 + index, steps=6, step_reuse=1.5)
        np.testing.assert_array_equal(array(batch)[index], array(alone)[0])
    assert np.abs(array(sample(bench, small_model, steps=6)) - array(batch)[0]).max() > 1e-4
    assert batch.generation is not None
    assert batch.generation.parameters["step_reuse"] == 1.5


@pytest.mark.parametrize(
    "settings",
    [
        *({"sampler": name} for name in ("euler", "heun", "dpmpp_2m", "euler_ancestral")),
        {"sampler": "uni_pc", "steps": 4},
        {"sampler": "dpm_fast", "steps": 7},
        {"sampler": "sa_solver", "schedule": "ddim_uniform", "steps": 3},
        {"steps": 6, "step_reuse": 1.5},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_an_interrupted_batch_resumes_to_the_same_bits(
    bench: NodeBench, small_model: str, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(batches, "pictures_at_once", lambda *args: 2)
    node = sampling(bench, small_model, batch_size=3, **settings)
    unbroken = array(bench.run(node).latent)
    steps, states = bench.steps, list(bench.states)
    assert len(states) == len(steps) - 2  # Neither before the first step nor after the last.
    for state in states:
        bench.events.clear()
        np.testing.assert_array_equal(array(bench.run(node, resume=state).latent), unbroken)
        assert bench.steps == steps[-len(bench.steps) :]


@pytest.mark.parametrize("wrong", [conditioning(width=64), conditioning(pooled=32)])
def test_conditioning_of_another_model_is_refused_in_words(
    bench: NodeBench, small_model: str, wrong: Conditioning
) -> None:
    with pytest.raises(ValueError, match="made by another model's text encoders"):
        sample(bench, small_model, conditioning=wrong)


@pytest.mark.parametrize(
    "bad",
    [
        {"width": 40},
        {"height": 8},
        {"width": 8208},
        {"steps": 0},
        {"guidance": -1},
        {"guidance": float("nan")},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 1.5},
        {"width": "wide"},
        {"batch_size": 0},
        {"step_reuse": -0.1},
    ],
)
def test_parameters_out_of_range_or_of_another_type_are_refused(
    bench: NodeBench, small_model: str, bad: dict[str, Any]
) -> None:
    with pytest.raises(WorkflowError) as caught:
        sample(bench, small_model, **bad)
    assert [fault.input for fault in caught.value.faults] == list(bad)


# -- DecodeLatent -----------------------------------------------------------------------------------


def test_a_latent_becomes_pixels_eight_times_as_large(bench: NodeBench, small_model: str) -> None:
    latent = sample(bench, small_model)
    vae = bench.run(LoadFlux(model=small_model)).vae
    image = bench.run(DecodeLatent(vae=vae, latent=latent)).image
    assert image.pixels.shape == (1, 32, 48, 3)
    assert image.pixels.dtype == np.float32
    assert 0 <= image.pixels.min() < image.pixels.max() <= 1
    assert latent.generation is not None
    assert image.generation == latent.generation.with_parameters({"tile_size": 0})


def test_each_latent_of_a_batch_is_decoded_separately(bench: NodeBench, small_model: str) -> None:
    vae = bench.run(LoadFlux(model=small_model)).vae
    both = mx.random.normal((2, 4, 4, 16), key=mx.random.key(1))
    pixels = bench.run(DecodeLatent(vae=vae, latent=Latent(both))).image.pixels
    alone = bench.run(DecodeLatent(vae=vae, latent=Latent(both[1:]))).image.pixels
    np.testing.assert_allclose(pixels[1:], alone, atol=1e-4)


def test_decoding_twice_gives_the_same_pixels(bench: NodeBench, small_model: str) -> None:
    vae = bench.run(LoadFlux(model=small_model)).vae
    node = DecodeLatent(vae=vae, latent=sample(bench, small_model))
    np.testing.assert_array_equal(bench.run(node).image.pixels, bench.run(node).image.pixels)
