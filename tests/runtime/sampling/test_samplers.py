"""Samplers: equal to ComfyUI's, as declared in their table, and resumable after every step."""

import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from flow_samples import Curved, Straight, any_transformer

from run_graph.runtime.sampling.batch import begin, sample
from run_graph.runtime.sampling.latents import pack, unpack
from run_graph.runtime.sampling.loop import denoise, no_noise
from run_graph.runtime.sampling.noise import added_noise, initial_noise
from run_graph.runtime.sampling.samplers import SAMPLERS, State

LEVELS = [1.0, 0.8, 0.55, 0.3, 0.0]
GOLDEN = Path(__file__).parent / "golden" / "comfyui_samplers.npz"
"""Latents that ComfyUI 0.33 sampled with the weights of tiny, its initial noise and the noise it added.

Prompt "a car, flat style, on a blue background", seed 42, 96 x 96 pixels, guidance 3.5, schedule simple with
6 steps. The latents are float32 with 14 bits of mantissa, scaled as the transformer makes them.
"""


def noise(draw: int) -> mx.array:
    return added_noise(1, draw, 4)


def run(name: str, state: State | None = None) -> list[mx.array]:
    state = state or State(0, initial_noise(3, 32, 32))
    return list(denoise(any_transformer(Curved()), None, state, LEVELS, noise, name))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_comfyuis_of_the_same_name(name):
    from run_graph.runtime.models.checkpoints import resolve_flux
    from run_graph.runtime.models.store import ModelStore
    from run_graph.runtime.models.text import encode_prompt

    golden = np.load(GOLDEN)
    assert name in golden, f"{name} has no golden: add what ComfyUI samples"
    store, checkpoint = ModelStore(), resolve_flux("tiny")
    tokens, pooled = encode_prompt(store, checkpoint, None, "a car, flat style, on a blue background")
    transformer = store.transformer(checkpoint)
    prepared = transformer.prepare(tokens, pooled, 3.5, height=96, width=96)
    start = pack(mx.array(golden["noise"].transpose(0, 2, 3, 1)))
    draws = [mx.array(each) for each in golden["draws"]]
    sigmas = [float(sigma) for sigma in golden["sigmas"]]

    *_, last = denoise(transformer, prepared, State(0, start), sigmas, draws.__getitem__, name)

    latents = np.array(unpack(last.latents, 96, 96)).transpose(0, 3, 1, 2)
    assert np.abs(latents - golden[name]).max() <= 1e-4 * np.abs(golden[name]).max()


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_table_says_how_many_evaluations_a_step_takes(name):
    model = Curved()
    steps = denoise(any_transformer(model), None, State(0, initial_noise(3, 32, 32)), LEVELS, noise, name)
    counts = []
    for _ in steps:
        counts.append(len(model.levels) - sum(counts))
    assert counts[:-1] == [SAMPLERS[name].evaluations] * (len(LEVELS) - 2)
    assert 1 <= counts[-1] <= SAMPLERS[name].evaluations


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_table_says_whether_a_sampler_adds_noise(name):
    def finish(draws):
        state = State(0, initial_noise(3, 32, 32))
        return list(denoise(any_transformer(Curved()), None, state, LEVELS, draws, name))

    if SAMPLERS[name].is_deterministic:
        assert len(finish(no_noise)) == 4
    else:
        with pytest.raises(ValueError, match="this sampler adds noise"):
            finish(no_noise)
        one, other = finish(noise), finish(lambda draw: noise(draw + 9))
        assert not mx.allclose(one[-1].latents, other[-1].latents).item()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_deterministic_sampler_follows_a_straight_flow_exactly(name):
    start, picture = mx.random.normal((2, 1, 4, 64), key=mx.random.key(0))
    flow = any_transformer(Straight(start - picture))
    *_, last = denoise(flow, None, State(0, start), [1.0, 0.9, 0.35, 0.0], noise, name)
    if SAMPLERS[name].is_deterministic:
        np.testing.assert_allclose(np.array(last.latents), np.array(picture), atol=1e-5)


def test_samplers_differ_on_a_curved_flow():
    ends = {name: np.array(run(name)[-1].latents) for name in SAMPLERS}
    for name, end in ends.items():
        for other in set(SAMPLERS) - {name}:
            assert np.abs(end - ends[other]).max() > 1e-3


def test_the_loop_evaluates_no_more_than_it_is_asked_for():
    flow = Straight(mx.ones((1, 4, 64)))
    state = State(0, mx.zeros((1, 4, 64)))
    steps = denoise(any_transformer(flow), None, state, [1.0, 0.5, 0.0], no_noise)
    assert flow.levels == []
    assert next(steps).latents[0, 0, 0].item() == -0.5
    assert flow.levels == [1.0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_latents_keep_their_precision_when_the_model_has_less(name):
    start = initial_noise(0, 32, 32)
    flow = any_transformer(Straight(mx.ones(start.shape, dtype=mx.bfloat16)))
    for step in denoise(flow, None, State(0, start), LEVELS, noise, name):
        assert step.latents.dtype == mx.float32


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_loop_resumed_after_any_step_gives_the_same_bits(name, after):
    whole = run(name)
    assert [step.number for step in whole] == [1, 2, 3, 4]
    state = whole[after - 1].resume
    assert state.step == after
    resumed = run(name, state)
    assert [step.number for step in resumed] == [1, 2, 3, 4][after:]
    for step in resumed:
        assert mx.array_equal(step.latents, whole[step.number - 1].latents).item()


@pytest.mark.parametrize("after", range(1, 8))
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_batch_resumed_after_any_step_gives_the_same_bits(name, after):
    def advance(begun):
        return list(sample(any_transformer(Curved()), None, begun, LEVELS, name))

    whole = advance(begin(2**64 - 1, 3, 32, 48, 2))
    resumed = advance(whole[after - 1].sampling)
    assert [step.done for step in resumed] == list(range(after + 1, 9))
    assert mx.array_equal(resumed[-1].sampling.latents, whole[-1].sampling.latents).item()


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_picture_of_a_batch_is_that_of_its_own_seed(name):
    def final(begun):
        *_, last = sample(any_transformer(Curved()), None, begun, LEVELS, name)
        return np.array(last.sampling.latents)

    together = final(begin(7, 3, 32, 32, 2))
    for index in range(3):
        np.testing.assert_allclose(together[index], final(begin(7 + index, 1, 32, 32, 1))[0], atol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_summary_says_what_a_step_costs(name):
    assert re.fullmatch(r"(1 evaluation|\d evaluations) a step(, adds noise)?", SAMPLERS[name].summary())
