"""The noise schedule: its shape, and equality with mflux's and diffusers'."""

import itertools
import math

import numpy as np
import pytest

from run_graph.runtime.sampling.schedules import SCHEDULES, NoiseScale, resolution_shift, sigmas


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_levels_fall_strictly_from_one_to_zero(steps, shift, schedule):
    levels = sigmas(steps, 1024, 768, shift, schedule)
    assert len(levels) == steps + 1
    assert (levels[0], levels[-1]) == (1.0, 0.0)
    assert all(before > after for before, after in itertools.pairwise(levels))


def test_unshifted_levels_are_evenly_spaced():
    assert sigmas(4, 512, 512, shift=False) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_the_shift_is_linear_in_the_number_of_tokens():
    assert resolution_shift(256, 256) == 0.5
    assert resolution_shift(1024, 1024) == pytest.approx(1.15)
    assert resolution_shift(512, 768) == resolution_shift(768, 512)


def test_a_shifted_level_follows_the_formula():
    mu = resolution_shift(512, 512)
    assert sigmas(2, 512, 512, shift=True)[1] == pytest.approx(math.exp(mu) / (math.exp(mu) + 1))


def test_steps_below_one_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, not 0"):
        sigmas(0, 512, 512, shift=True)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (512, 768), (1360, 1024)])
@pytest.mark.parametrize("variant", ["schnell", "dev"])
@pytest.mark.parametrize("steps", [1, 4, 25])
def test_levels_equal_mflux(variant, width, height, steps):
    from mflux.models.common.config.config import Config
    from mflux.models.common.config.model_config import ModelConfig

    model_config = getattr(ModelConfig, variant)()
    config = Config(model_config=model_config, num_inference_steps=steps, width=width, height=height)
    expected = np.array(config.scheduler.sigmas)
    ours = sigmas(steps, width, height, shift=model_config.requires_sigma_shift)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("shift", [True, False])
def test_levels_equal_diffusers(shift):
    pytest.importorskip("torch", reason="parity oracle: diffusers' scheduler runs on torch")
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=shift, shift=3.0 if shift else 1.0)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 8, 8), mu=resolution_shift(640, 512) if shift else None)
    np.testing.assert_allclose(sigmas(8, 640, 512, shift), scheduler.sigmas.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "mu", "count", "expected"),
    [
        ("simple", 1.15, 10000, [1.0, 0.90454, 0.75952, 0.51285, 0.0]),
        ("normal", 1.15, 10000, [1.0, 0.86337, 0.61249, 0.001, 0.0]),
        ("sgm_uniform", 1.15, 10000, [1.0, 0.90457, 0.75961, 0.51315, 0.0]),
        ("simple", None, 1000, [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("normal", None, 1000, [1.0, 0.66699, 0.334, 0.001, 0.0]),
        ("sgm_uniform", None, 1000, [1.0, 0.75024, 0.50049, 0.25075, 0.0]),
    ],
)
def test_levels_equal_comfyuis_schedulers(schedule, mu, count, expected):
    """What ComfyUI 0.33's BasicScheduler gives for 4 steps of FLUX.1-dev and of schnell."""
    np.testing.assert_allclose(SCHEDULES[schedule](4, NoiseScale(mu, count)), expected, atol=3e-5)


def test_more_steps_than_levels_are_refused():
    with pytest.raises(ValueError, match=r"no 1500 different noise levels.*at most 1000 steps"):
        sigmas(1500, 512, 512, shift=False, schedule="simple")
    assert len(sigmas(1500, 512, 512, shift=False)) == 1501
