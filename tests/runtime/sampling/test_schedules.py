"""The noise schedule: its shape, and equality with mflux's and diffusers'."""

import itertools
import math

import numpy as np
import pytest

from run_graph.runtime.sampling.schedules import (
    COMFYUI_SCHEDULES,
    PLAIN_SCALE,
    SCHEDULES,
    NoiseScale,
    beta_levels,
    comfyui_scale,
    flux_shift,
    last_levels,
    resolution_shift,
    sigmas,
    turbo_levels,
)
from run_graph.runtime.sampling.spacing import (
    extended,
    flipped,
    karras_levels,
    polyexponential_levels,
    published_levels,
    split_at_denoise,
    written_levels,
)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_levels_fall_strictly_from_one_to_zero(steps, shift, schedule):
    levels = sigmas(steps, 1024, 768, shift, schedule)
    assert len(levels) == steps + 1
    assert levels[0] < 1 if schedule == "ddim_uniform" else levels[0] == 1
    assert levels[-1] == 0
    assert all(before > after for before, after in itertools.pairwise(levels))


def test_ddim_uniform_has_a_step_more_where_steps_do_not_divide_the_levels():
    assert len(sigmas(7, 512, 512, shift=True, schedule="ddim_uniform")) == 9


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


@pytest.mark.parametrize("schedule", ["simple", "ddim_uniform", "beta"])
def test_more_steps_than_levels_are_refused(schedule):
    with pytest.raises(ValueError, match=r"no 1500 different noise levels.*at most 1000 steps"):
        sigmas(1500, 512, 512, shift=False, schedule=schedule)
    assert len(sigmas(1500, 512, 512, shift=False)) == 1501


# -- the functions behind ComfyUI's nodes; their own results are compared in tests/nodes/comfyui ------


def test_a_model_has_its_own_shift_or_the_one_that_a_node_set():
    assert comfyui_scale(None, shift=True) == NoiseScale(1.15, 10_000)
    assert comfyui_scale(None, shift=False) == PLAIN_SCALE
    assert comfyui_scale(0.7, shift=False) == comfyui_scale(0.7, shift=True) == NoiseScale(0.7, 10_000)
    assert flux_shift(1.15, 0.5, 1024, 1024) == pytest.approx(1.15)
    assert flux_shift(3.0, 2.0, 256, 256) == 2.0


@pytest.mark.parametrize("schedule", COMFYUI_SCHEDULES)
def test_the_last_steps_of_more_are_taken_for_a_part_of_the_way(schedule):
    scale = comfyui_scale(None, shift=True)
    whole = SCHEDULES[schedule](8, scale)
    assert last_levels(schedule, 4, scale, 0.5) == whole[-5:]
    assert last_levels(schedule, 8, scale) == whole[-9:]
    assert last_levels(schedule, 8, scale, 0.0) == []


def test_a_part_of_the_way_is_a_level():
    scale = comfyui_scale(None, shift=True)
    assert (scale.at_part(0), scale.at_part(1)) == (1.0, 0.0)
    assert scale.at_part(0.5) == pytest.approx(0.75951, abs=1e-5)


def test_a_level_next_to_0_stands_for_it():
    tiny = NoiseScale(-3.0, 10_000)
    assert tiny.at(tiny.lowest) < 1e-5
    normal = SCHEDULES["normal"](4, tiny)
    assert (len(normal), normal[0]) == (5, pytest.approx(1.0))
    assert 0 < normal[-1] < 1e-5
    ddim = SCHEDULES["ddim_uniform"](4, NoiseScale(-4.0, 10_000))
    assert 0 < ddim[-1] < 1e-5


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.6), (0.6, 0.0)])
def test_a_beta_distribution_needs_both_numbers_above_0(alpha, beta):
    with pytest.raises(ValueError, match=f"must be above 0, not {alpha:g} and {beta:g}"):
        beta_levels(4, PLAIN_SCALE, alpha, beta)


def test_levels_that_come_twice_are_taken_once():
    levels = beta_levels(50, PLAIN_SCALE, 0.05, 0.05)
    assert len(levels) < 51
    assert all(before > after for before, after in itertools.pairwise(levels))


def test_turbos_times_are_hundreds():
    assert turbo_levels(2, PLAIN_SCALE, 1.0) == [999, 899, 0]
    assert turbo_levels(9, PLAIN_SCALE, 0.25) == [199, 99, 0]


def test_a_published_list_is_taken_as_it_is_for_its_own_number_of_steps():
    published = (1.0, 0.8, 0.4, 0.1)
    assert published_levels(published, 3, 1.0) == [1.0, 0.8, 0.4, 0.0]
    assert published_levels(published, 3, 0.7) == [0.8, 0.4, 0.0]
    assert published_levels(published, 3, 0.0) == []
    twice = published_levels(published, 6, 1.0)
    assert twice[::2] == pytest.approx([1.0, 0.8, 0.4, 0.0])
    assert twice[1] == pytest.approx(math.sqrt(0.8))


def test_levels_of_no_size_are_refused():
    with pytest.raises(ValueError, match="rho above 0"):
        karras_levels(4, 1.0, 0.1, 0.0)
    with pytest.raises(ValueError, match="must be above 0; they are 1 and 0"):
        polyexponential_levels(4, 1.0, 0.0, 1.0)


def test_lists_are_cut_turned_around_and_filled_in():
    assert flipped([1.0, 0.5, 0.0]) == [1e-4, 0.5, 1.0]
    assert flipped([]) == []
    assert split_at_denoise([3, 2, 1, 0], 0.34) == ([3, 2, 1], [1, 0])
    assert split_at_denoise([3, 2, 1, 0], 0.0) == ([], [0])
    assert split_at_denoise([], 0.5) == ([], [])
    assert extended([1.0, 0.8, 0.0], 2, 0.9, 0.1, "linear") == [1.0, 0.8, 0.4, 0.0]
    assert extended([], 2, 1.0, 0.0, "sine") == []


def test_levels_are_read_from_text():
    assert written_levels("1, .75;0.5 0.") == [1.0, 0.75, 0.5, 0.0]
    assert written_levels("") == []
    for text in ("1, 1e-3", "1,, two", "0.5/3"):
        with pytest.raises(ValueError, match="is not a noise level; write decimal numbers"):
            written_levels(text)
