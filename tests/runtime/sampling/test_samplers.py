"""Initial noise, packing, and the loop."""

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.sampling.latents import pack, unpack
from run_graph.runtime.sampling.noise import initial_noise
from run_graph.runtime.sampling.samplers import denoise


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


class ConstantVelocity:
    """A transformer whose flow is straight: Euler's method is then exact, whatever the steps."""

    def __init__(self, velocity: mx.array) -> None:
        self.value = velocity
        self.levels: list[float] = []

    def modulations(self, prepared: object, sigmas: list[float], start: int) -> list[float]:
        return sigmas[start:]

    def step(self, latents: mx.array, sigma: float, prepared: object) -> mx.array:
        self.levels.append(sigma)
        return self.value


def test_euler_follows_a_straight_flow_exactly():
    noise, picture = mx.random.normal((2, 1, 4, 64), key=mx.random.key(0))
    transformer = ConstantVelocity(noise - picture)
    *_, last = denoise(transformer, None, noise, [1.0, 0.9, 0.35, 0.0])
    np.testing.assert_allclose(np.array(last.latents), np.array(picture), atol=1e-6)
    assert transformer.levels == [1.0, 0.9, 0.35]


def test_the_loop_does_no_more_than_is_asked_of_it():
    transformer = ConstantVelocity(mx.ones((1, 4, 64)))
    steps = denoise(transformer, None, mx.zeros((1, 4, 64)), [1.0, 0.5, 0.0])
    assert transformer.levels == []
    assert next(steps).latents[0, 0, 0].item() == -0.5
    assert transformer.levels == [1.0]


def test_latents_keep_their_precision_when_the_model_has_less():
    noise = initial_noise(0, 32, 32)
    velocity = mx.ones(noise.shape, dtype=mx.bfloat16)
    (last,) = denoise(ConstantVelocity(velocity), None, noise, [1.0, 0.0])
    assert last.latents.dtype == mx.float32


class Halving:
    """A transformer whose velocity depends on latents and noise level."""

    def modulations(self, prepared: object, sigmas: list[float], start: int) -> list[float]:
        return sigmas[start:]

    def step(self, latents: mx.array, sigma: float, prepared: object) -> mx.array:
        return latents * sigma


@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_loop_begun_where_another_was_broken_off_gives_the_same_to_the_bit(after):
    levels = [1.0, 0.8, 0.55, 0.3, 0.0]
    noise = initial_noise(3, 32, 32)
    unbroken = list(denoise(Halving(), None, noise, levels))
    assert [step.number for step in unbroken] == [1, 2, 3, 4]
    point = unbroken[after - 1].restart
    resumed = list(denoise(Halving(), None, point.latents, levels, start=point.step))
    assert [step.number for step in resumed] == [1, 2, 3, 4][point.step :]
    for step in resumed:
        assert mx.array_equal(step.latents, unbroken[step.number - 1].latents).item()
