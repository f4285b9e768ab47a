"""Steps reused: which, with what result, and after an interruption."""

from collections.abc import Callable
from itertools import pairwise

import mlx.core as mx
import numpy as np
import pytest
from small import SMALL

from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.loading import load_component
from run_graph.runtime.networks.transformer import FluxTransformer
from run_graph.runtime.sampling.flow import State
from run_graph.runtime.sampling.loop import SampleStep, denoise
from run_graph.runtime.sampling.noise import added_noise, initial_noise
from run_graph.runtime.sampling.schedules import sigmas
from run_graph.runtime.sampling.step_reuse import predicted_distance, relative_distance
from training.layout.make import make_checkpoint

STEPS = 12
LEVELS = sigmas(STEPS, 32, 32, shift=True)
NOISE = initial_noise(1, 32, 32)
BEGIN = State(0, NOISE)

Steps = Callable[..., list[SampleStep]]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    folder = tmp_path_factory.mktemp("models") / "small"
    make_checkpoint(folder, SMALL)
    loaded = load_component(Checkpoint("small", folder=folder), "transformer")
    transformer = FluxTransformer(loaded.module, loaded.config)
    tokens = mx.random.normal((1, 20, 128), key=mx.random.key(9))
    prepared = transformer.prepare(tokens, mx.ones((1, 64)), 3.5, height=32, width=32)

    def noise(draw: int) -> mx.array:
        return added_noise(1, draw, NOISE.shape[1])

    def run(threshold: float, state: State = BEGIN, sampler: str = "euler") -> list[SampleStep]:
        return list(denoise(transformer, prepared, state, LEVELS, noise, sampler, threshold))

    return run


def test_the_polynomial_is_the_published_one() -> None:
    # By hand, from the coefficients as TeaCache4FLUX has them: 498.65 d^4 - 283.78 d^3 + 55.86 d^2 - ...
    expected = {0.0: 0.264230861, 0.05: 0.180503, 0.1: 0.206847, 0.2: 0.261995}
    for distance, prediction in expected.items():
        assert predicted_distance(distance) == pytest.approx(prediction, abs=1e-6)


def test_the_distance_is_relative_to_the_old_input() -> None:
    old, new = mx.array([1.0, -3.0]), mx.array([2.0, -3.0])
    assert relative_distance(new, old) == 0.25
    assert relative_distance(2 * new, 2 * old) == 0.25


def test_the_first_step_and_the_last_are_always_computed(steps: Steps) -> None:
    assert [step.reused for step in steps(1e9)] == [False] + [True] * (STEPS - 2) + [False]


def test_the_smallest_threshold_reuses_nothing_and_changes_next_to_nothing(steps: Steps) -> None:
    careful, off = steps(1e-9), steps(0)
    assert not any(step.reused for step in careful + off)
    assert mx.array_equal(careful[-1].latents, off[-1].latents).item()


def test_a_larger_threshold_reuses_more(steps: Steps) -> None:
    counts = [sum(step.reused for step in steps(threshold)) for threshold in (0.2, 0.6, 1.5)]
    assert counts == sorted(counts)
    assert 0 < counts[1] < counts[-1]


def test_a_reused_step_adds_what_the_blocks_did_before(steps: Steps) -> None:
    found = steps(1e9)
    computed, reused = found[0], found[1]
    velocities = [
        (after.latents - start) / (level - sigma)
        for (start, after), (sigma, level) in zip(
            [(NOISE, computed), (computed.latents, reused)], pairwise(LEVELS), strict=False
        )
    ]
    alike, fresh = (np.array(velocity) for velocity in velocities)
    assert not np.array_equal(alike, fresh)
    assert np.corrcoef(alike.ravel(), fresh.ravel())[0, 1] > 0.5


@pytest.mark.parametrize("threshold", [0.6, 1e9])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m", "euler_ancestral", "sa_solver", "uni_pc"])
def test_an_interrupted_loop_resumes_to_the_same_bits(steps: Steps, threshold: float, sampler: str) -> None:
    whole = steps(threshold, sampler=sampler)
    assert any(step.reused for step in whole)
    for step in whole[:-1]:
        assert step.resume.step <= step.number
        resumed = steps(threshold, step.resume, sampler)
        assert [again.number for again in resumed] == list(range(step.resume.step + 1, STEPS + 1))
        for again in resumed:
            assert again.reused == whole[again.number - 1].reused
            assert mx.array_equal(again.latents, whole[again.number - 1].latents).item()


def test_steps_are_skipped_for_real(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    blocks = FluxTransformer.blocks
    monkeypatch.setattr(FluxTransformer, "blocks", lambda self, *args: runs.append(1) or blocks(self, *args))
    found = steps(0.6)
    assert len(runs) == STEPS - sum(step.reused for step in found) < STEPS
