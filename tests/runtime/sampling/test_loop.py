"""The sampling loop of the native nodes: every plain sampler, each picture of its own seed, the same bits."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from flow_samples import Curved, Straight, any_transformer

from run_graph.runtime.sampling.batch import Sampling, begin, sample
from run_graph.runtime.sampling.flow import State
from run_graph.runtime.sampling.loop import SampleStep, denoise, no_noise
from run_graph.runtime.sampling.noise import added_noise, initial_noise
from run_graph.runtime.sampling.samplers import PLAIN_SAMPLERS, SAMPLERS

LEVELS = [1.0, 0.8, 0.55, 0.3, 0.0]
each_sampler = pytest.mark.parametrize("name", PLAIN_SAMPLERS)

# They stop above 0, or do not follow the flow's equation.
INEXACT = {"dpm_fast", "uni_pc", "uni_pc_bh2", "ddpm", "lcm"}


def noise(draw: int) -> mx.array:
    return added_noise(1, draw, 4)


def run(name: str, state: State | None = None, draws: Any = noise) -> list[SampleStep]:
    state = state or State(0, initial_noise(3, 32, 32))
    return list(denoise(any_transformer(Curved()), None, state, LEVELS, draws, name))


@each_sampler
def test_the_loop_adds_noise_only_if_the_table_says_so(name: str) -> None:
    if SAMPLERS[name].is_deterministic:
        run(name, draws=no_noise)
    else:
        with pytest.raises(ValueError, match="this sampler adds noise"):
            run(name, draws=no_noise)
        one, other = run(name), run(name, draws=lambda draw: noise(draw + 9))
        assert not mx.allclose(one[-1].latents, other[-1].latents).item()


@pytest.mark.parametrize(
    "name",
    [name for name in PLAIN_SAMPLERS if SAMPLERS[name].is_deterministic and name not in INEXACT],
)
def test_a_deterministic_sampler_follows_a_straight_flow_exactly(name: str) -> None:
    start, picture = mx.random.normal((2, 1, 4, 64), key=mx.random.key(0))
    flow = any_transformer(Straight(start - picture))
    *_, last = denoise(flow, None, State(0, start), [1.0, 0.9, 0.35, 0.0], noise, name)
    # exp_heun_2_x0 begins at 0.9999 with noise of level 1; deis's sums stand for integrals.
    exact = {"exp_heun_2_x0": 1e-3, "deis": 1e-3}.get(name, 1e-5)
    np.testing.assert_allclose(np.array(last.latents), np.array(picture), atol=exact)


def test_a_run_that_ends_above_0_is_scaled_to_a_picture() -> None:
    start, picture = mx.random.normal((2, 1, 4, 64), key=mx.random.key(0))
    flow = any_transformer(Straight(start - picture))
    steps = list(denoise(flow, None, State(0, start), LEVELS, noise, "uni_pc"))
    left = np.array(start) * 0.001 / 0.999
    np.testing.assert_allclose(np.array(steps[-1].latents), np.array(picture) + left, atol=1e-4)


def test_the_loop_evaluates_no_more_than_it_is_asked_for() -> None:
    flow = Straight(mx.ones((1, 4, 64)))
    state = State(0, mx.zeros((1, 4, 64)))
    steps = denoise(any_transformer(flow), None, state, [1.0, 0.5, 0.0], no_noise)
    assert flow.levels == []
    assert next(steps).latents[0, 0, 0].item() == -0.5
    assert flow.levels == [1.0]


@each_sampler
def test_latents_keep_their_precision_when_the_model_has_less(name: str) -> None:
    start = initial_noise(0, 32, 32)
    flow = any_transformer(Straight(mx.ones(start.shape, dtype=mx.bfloat16)))
    for step in denoise(flow, None, State(0, start), LEVELS, noise, name):
        assert step.latents.dtype == mx.float32


@each_sampler
def test_a_loop_resumed_after_any_step_gives_the_same_bits(name: str) -> None:
    whole = run(name)
    assert [step.number for step in whole] == list(range(1, SAMPLERS[name].steps(LEVELS) + 1))
    for begun in whole:
        assert begun.resume.step == begun.number
        resumed = run(name, begun.resume)
        assert [step.number for step in resumed] == [step.number for step in whole[begun.number :]]
        for step in resumed:
            assert mx.array_equal(step.latents, whole[step.number - 1].latents).item()


@each_sampler
def test_a_batch_resumed_after_any_step_gives_the_same_bits(name: str) -> None:
    def advance(begun: Sampling) -> list[Any]:
        return list(sample(any_transformer(Curved()), None, begun, LEVELS, name))

    whole = advance(begin(2**64 - 1, 3, 32, 48, 2))
    assert [step.done for step in whole] == list(range(1, 2 * SAMPLERS[name].steps(LEVELS) + 1))
    for interrupted in whole[:-1]:
        resumed = advance(interrupted.sampling)
        assert len(resumed) == len(whole) - interrupted.done
        assert mx.array_equal(resumed[-1].sampling.latents, whole[-1].sampling.latents).item()


@each_sampler
def test_each_picture_of_a_batch_is_that_of_its_own_seed(name: str) -> None:
    def final(begun: Sampling) -> Any:
        *_, last = sample(any_transformer(Curved()), None, begun, LEVELS, name)
        return np.array(last.sampling.latents)

    together = final(begin(7, 3, 32, 32, 2))
    for index in range(3):
        np.testing.assert_allclose(together[index], final(begin(7 + index, 1, 32, 32, 1))[0], atol=1e-5)
