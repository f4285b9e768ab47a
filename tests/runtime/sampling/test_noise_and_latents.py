"""Seeded noise, and the packing of latents."""

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.sampling.latents import pack, unpack
from run_graph.runtime.sampling.noise import added_noise, initial_noise


@pytest.mark.parametrize("seed", [0, 7, 2**40])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 32)])
def test_the_noise_of_a_seed_is_mflux_s(seed, width, height):
    from mflux.models.flux.latent_creator.flux_latent_creator import FluxLatentCreator

    expected = FluxLatentCreator.create_noise(seed=seed, height=height, width=width)
    ours = initial_noise(seed, width, height)
    assert ours.dtype == expected.dtype == mx.float32
    assert mx.array_equal(ours, expected).item()


def test_noise_differs_between_seeds_and_leaves_the_global_generator_alone():
    mx.random.seed(3)
    untouched = mx.random.uniform(shape=(4,)).tolist()
    mx.random.seed(3)
    first, second = initial_noise(1, 64, 64), initial_noise(2, 64, 64)
    assert not mx.allclose(first, second).item()
    assert mx.random.uniform(shape=(4,)).tolist() == untouched


def test_unpacking_equals_mflux():
    from mflux.models.flux.latent_creator.flux_latent_creator import FluxLatentCreator

    packed = initial_noise(5, width=96, height=64)
    expected = FluxLatentCreator.unpack_latents(packed, height=64, width=96)
    ours = unpack(packed, width=96, height=64)
    assert ours.shape == (1, 8, 12, 16)
    assert mx.array_equal(ours.transpose(0, 3, 1, 2), expected).item()


def test_packing_inverts_unpacking_for_a_batch():
    packed = mx.random.normal((3, 24, 64), key=mx.random.key(0))
    assert mx.array_equal(pack(unpack(packed, width=96, height=64)), packed).item()


def test_added_noise_is_standard_normal_and_differs_from_draw_to_draw_and_seed_to_seed():
    draws = [added_noise(seed, draw, 500) for seed in (0, 1, 2**64 - 1) for draw in (0, 1, 7)]
    for noise in draws:
        assert noise.shape == (1, 500, 64)
        assert abs(noise.mean().item()) < 0.02
        assert noise.std().item() == pytest.approx(1, abs=0.02)
    flat = np.array(mx.concatenate([*draws, initial_noise(1, 320, 400)])).reshape(len(draws) + 1, -1)
    correlations = np.corrcoef(flat) - np.eye(len(flat))
    assert np.abs(correlations).max() < 0.03


def test_added_noise_is_the_same_at_every_call():
    assert mx.array_equal(added_noise(5, 3, 24), added_noise(5, 3, 24)).item()
