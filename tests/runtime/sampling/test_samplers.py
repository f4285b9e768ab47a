"""The table of samplers: what rows declare, resuming to the same bits after every step, and options."""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from run_graph.runtime.cache.serialization import deserialize_items, serialize_items
from run_graph.runtime.sampling.brownian import path_over
from run_graph.runtime.sampling.flow import Flow, State
from run_graph.runtime.sampling.samplers import PLAIN_SAMPLERS, SAMPLERS, Sampler
from run_graph.runtime.sampling.schedules import NoiseScale
from run_graph.runtime.sampling.torch_noise import NumberedDraws

SHAPE = (1, 4, 6, 4)
LEVELS = [1.0, 0.93, 0.8, 0.55, 0.3, 0.1, 0.0]
SCALE = NoiseScale(1.15, 10_000)
START = mx.random.normal(SHAPE, key=mx.random.key(1))


@dataclass
class Curved(Flow):
    """A curved flow with a negative. Notes what it is asked for: "D", "U", "noise" and "brownian"."""

    sampler: Sampler
    asked_levels: list[float] = field(default_factory=lambda: LEVELS)
    seed: int = 3
    asked: list[str] = field(default_factory=list)
    visited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sigmas = self.sampler.prepared(self.asked_levels, SCALE)
        self.scale = SCALE
        self._draws = NumberedDraws(self.seed + 1, SHAPE)
        self._path = path_over(self.seed, SHAPE, self.asked_levels)

    def denoised(self, latents: mx.array, sigma: float) -> mx.array:
        self.asked.append("D")
        self.visited.append(sigma)
        self._negative = mx.cos(latents) * sigma
        return mx.sin(latents + 3 * sigma) * (1 - 0.5 * sigma)

    @property
    def uncond_denoised(self) -> mx.array:
        self.asked.append("U")
        return self._negative

    def noise(self, draw: int) -> mx.array:
        self.asked.append("noise")
        return mx.array(self._draws(draw))

    def brownian(self, sigma: float, following: float) -> mx.array:
        self.asked.append("brownian")
        return mx.array(self._path.noise(sigma, following))


def states(name: str, state: State | None = None, **options: Any) -> list[State]:
    row = SAMPLERS[name]
    return list(row.run(Curved(row), state or State(0, START), options))


def end(name: str, **options: Any) -> Any:
    return np.array(states(name, **options)[-1].latents)


def stored(state: State) -> State:
    """The state as it comes back from the disk."""
    arrays = {str(place): each for place, each in enumerate((state.latents, *state.history))}
    items = deserialize_items(serialize_items({**arrays, "step": state.step, "numbers": state.numbers}))
    latents, *history = (items[name] for name in arrays)
    return State(items["step"], latents, tuple(history), items["numbers"])


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_levels_of_a_run_are_known_before_it(name: str) -> None:
    row = SAMPLERS[name]
    flow = Curved(row)
    for _ in row.run(flow, State(0, START)):
        pass
    known = row.visited(flow.sigmas, SCALE)
    if row.is_adaptive:
        assert known == tuple(flow.sigmas[:-1])
    else:
        assert known == tuple(dict.fromkeys(flow.visited))


def test_options_move_the_levels_of_a_run() -> None:
    row = SAMPLERS["dpmpp_sde"]
    levels = row.prepared(LEVELS, SCALE)
    flow = Curved(row)
    for _ in row.run(flow, State(0, START), {"r": 0.3}):
        pass
    assert row.visited(levels, SCALE, {"r": 0.3}) == tuple(dict.fromkeys(flow.visited))
    assert row.visited(levels, SCALE) != row.visited(levels, SCALE, {"r": 0.3})


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_resumed_after_any_step_gives_the_same_bits(name: str) -> None:
    whole = states(name)
    for begun in whole:
        resumed = states(name, stored(begun))
        assert len(resumed) == len(whole) - begun.step
        for state in resumed:
            assert mx.array_equal(state.latents, whole[state.step - 1].latents).item()


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_row_says_what_a_sampler_asks_for(name: str) -> None:
    row = SAMPLERS[name]
    flow, state, counts = Curved(row), State(0, START), []
    for _ in row.run(flow, state):
        counts.append(flow.asked.count("D") - sum(counts))
    assert max(counts) == row.evaluations
    assert ("U" in flow.asked) == row.uses_negative
    wanted = {"none": set(), "fresh": {"noise"}, "brownian": {"brownian"}}[row.noise]
    assert set(flow.asked) - {"D", "U"} == wanted
    assert row.is_deterministic == (not wanted)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_row_counts_the_steps(name: str) -> None:
    row = SAMPLERS[name]
    flow = Curved(row)
    steps = row.steps(flow.sigmas)
    run = list(row.run(flow, State(0, START)))
    done = [row.done(flow.sigmas, state) for state in run]
    assert done == sorted(done)
    assert (row.done(flow.sigmas, State(0, START)), done[-1]) == (0, steps)
    if not row.is_adaptive:
        assert done == list(range(1, steps + 1))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_of_one_step_ends(name: str) -> None:
    row = SAMPLERS[name]
    flow = Curved(row, [1.0, 0.0])
    for state in row.run(flow, State(0, START)):
        assert np.isfinite(np.array(state.latents)).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_may_stop_and_begin_between_noise_and_picture(name: str) -> None:
    row = SAMPLERS[name]
    flow = Curved(row, [0.8, 0.6, 0.35, 0.2])
    *_, last = row.run(flow, State(0, START))
    assert np.isfinite(np.array(last.latents)).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_latents_stay_float32(name: str) -> None:
    assert {str(state.latents.dtype) for state in states(name)} == {"mlx.core.float32"}


def test_samplers_differ_on_a_curved_flow() -> None:
    same = {name.removesuffix("_gpu") for name in SAMPLERS} - {"ddim"}  # ddim is euler but under a mask
    ends = {name: end(name) for name in same}
    for name, one in ends.items():
        for other in same - {name}:
            assert np.abs(one - ends[other]).max() > 1e-4, (name, other)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name.endswith("_gpu")])
def test_the_noise_of_the_gpu_is_the_cpus(name: str) -> None:
    np.testing.assert_array_equal(end(name), end(name.removesuffix("_gpu")))


def test_plain_samplers_need_a_model_and_numbered_noise_only() -> None:
    left_out = set(SAMPLERS) - set(PLAIN_SAMPLERS)
    assert {name for name in left_out if not re.search(r"cfg_pp|dpmpp_.*sde|dpm_adaptive", name)} == set()
    assert {"euler", "heun", "dpmpp_2m", "euler_ancestral", "uni_pc", "sa_solver"} < set(PLAIN_SAMPLERS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_summary_says_what_a_step_costs(name: str) -> None:
    assert re.fullmatch(r"(1 evaluation|\d evaluations) a step(, adds noise)?", SAMPLERS[name].summary())


# -- noise levels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_levels_that_no_sampler_can_take_are_refused(name: str) -> None:
    row = SAMPLERS[name]
    with pytest.raises(ValueError, match="two noise levels"):
        row.prepared([1.0], SCALE)
    with pytest.raises(ValueError, match="only the last may be 0"):
        row.prepared([1.0, 0.0, 0.5], SCALE)
    with pytest.raises(ValueError, match="must be above 0"):
        row.prepared([1.0, -0.5], SCALE)


@pytest.mark.parametrize("name", ["er_sde", "seeds_2", "sa_solver", "dpmpp_2m_sde"])
def test_samplers_in_the_signal_to_noise_ratio_begin_below_1(name: str) -> None:
    first, *others = SAMPLERS[name].prepared(LEVELS, SCALE)
    assert first == np.float32(SCALE.at(0.9999)) < 1
    assert others == LEVELS[1:]
    assert SAMPLERS[name].prepared(LEVELS[1:], SCALE) == LEVELS[1:]
    with pytest.raises(ValueError, match=r"go up to 14\.6, and this sampler needs levels below 1"):
        SAMPLERS[name].prepared([14.6, 14.6, 1.0, 0.0], SCALE)


def finely(second: float) -> list[float]:
    """Levels of so many steps that the second is about where these samplers begin in the place of 1."""
    return [1.0, second, 0.5, 0.3, 0.0]


BEGINNING = float(np.float32(SCALE.at(0.9999)))
IN_THE_RATIO = [name for name in SAMPLERS if SAMPLERS[name].prepared(LEVELS, SCALE)[0] == BEGINNING]


ABOVE_IT = [float(np.nextafter(np.float32(BEGINNING), np.float32(1))), 0.99999]


def finished(name: str, levels: list[float], **options: Any) -> Any:
    row = SAMPLERS[name]
    [*_, last] = row.run(Curved(row, asked_levels=levels), State(0, START), options)
    return np.array(last.latents)


@pytest.mark.parametrize("name", [name for name in IN_THE_RATIO if name != "seeds_2"])
def test_a_second_level_where_the_sampler_begins_is_refused(name: str) -> None:
    # ComfyUI's formulas divide by their distance too, and its picture is black.
    with pytest.raises(ValueError, match=r"two noise levels in a row are 0\.99996835.*use fewer steps"):
        finished(name, finely(BEGINNING))


def test_seeds_2_does_not_divide_by_the_distance_of_levels() -> None:
    assert np.isfinite(finished("seeds_2", finely(BEGINNING))).all()


@pytest.mark.parametrize("name", IN_THE_RATIO)
@pytest.mark.parametrize("second", ABOVE_IT)
def test_a_second_level_above_where_the_sampler_begins(name: str, second: float) -> None:
    if re.match(r"dpmpp_.m_sde", name):  # whose noise in ComfyUI is the root of a negative number
        with pytest.raises(ValueError, match=r"rises from 0\.99996835 to 0\.9999.*use fewer steps"):
            finished(name, finely(second))
    else:
        assert np.isfinite(finished(name, finely(second))).all()


@pytest.mark.parametrize("name", ["dpmpp_2m_sde", "dpmpp_3m_sde"])
def test_levels_may_rise_where_no_noise_is_added(name: str) -> None:
    assert np.isfinite(finished(name, finely(0.99999), eta=0.0)).all()


def test_unipc_ends_above_0() -> None:
    assert SAMPLERS["uni_pc"].prepared(LEVELS, SCALE) == [*LEVELS[:-1], 0.001]
    assert SAMPLERS["uni_pc"].prepared([1.0, 0.5], SCALE) == [1.0, 0.5]


# -- options ----------------------------------------------------------------------------------------


def with_option(option: str) -> list[str]:
    found = []
    for name, row in SAMPLERS.items():
        parameters = inspect.signature(row.advance).parameters
        if option in parameters:
            found.append(name)
    return found


@pytest.mark.parametrize("name", with_option("eta"))
def test_without_eta_nothing_is_added(name: str) -> None:
    row = SAMPLERS[name]
    if name == "er_sde":  # where it is the reverse-time SDE's
        options: dict[str, Any] = {"eta": 0.0, "solver_type": "Reverse-time SDE"}
    else:
        options = {"eta": 0.0}
    flow = Curved(row)
    list(row.run(flow, State(0, START), options))
    assert not {"noise", "brownian"} & set(flow.asked)


@pytest.mark.parametrize("name", with_option("s_noise"))
def test_s_noise_scales_what_is_added(name: str) -> None:
    options = (
        {"eta": 0.5}
        if name != "er_sde" and "eta" in inspect.signature(SAMPLERS[name].advance).parameters
        else {}
    )
    one, less = end(name, s_noise=1.0, **options), end(name, s_noise=0.5, **options)
    assert np.abs(one - less).max() > 1e-3


@pytest.mark.parametrize("name", ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral"])
def test_an_eta_that_no_noise_fits_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no noise fits an eta of 60"):
        states(name, eta=60.0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dpm_adaptive", {"h_init": 0.0}),
        ("dpm_adaptive", {"rtol": 0.0, "atol": 0.0}),
        ("dpm_adaptive", {"accept_safety": 2.6}),
        ("dpmpp_sde", {"r": 0.0}),
    ],
)
def test_options_with_which_a_run_would_not_end_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"(is|are) usual"):
        states(name, **options)


def test_lms_of_order_1_is_eulers_method() -> None:
    np.testing.assert_allclose(end("lms", order=1), end("euler"), atol=1e-6)


def test_an_adaptive_step_that_fails_is_taken_again() -> None:
    run = states("dpm_adaptive", rtol=1e-4, atol=1e-4, h_init=1.5)
    accepted = [state.numbers[-1] for state in run]
    assert accepted[-1] < len(run)
    for before, after in zip([State(0, START), *run], run, strict=False):
        if after.numbers[-1] == (before.numbers or (0,))[-1]:
            assert mx.array_equal(before.latents, after.latents).item()


def test_an_adaptive_run_is_exact_to_its_tolerance() -> None:
    exact = end("dpm_adaptive", rtol=1e-6, atol=1e-6)
    errors = [np.abs(end("dpm_adaptive", rtol=rtol, atol=rtol) - exact).max() for rtol in (1e-1, 1e-2, 1e-3)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-2


@pytest.mark.parametrize("order", [2, 3])
def test_an_adaptive_run_may_add_noise(order: int) -> None:
    row = SAMPLERS["dpm_adaptive"]
    flow = Curved(row)
    run = list(row.run(flow, State(0, START), {"order": order, "eta": 0.6}))
    assert flow.asked.count("noise") == run[-1].numbers[-1] - 1  # the last step ends where none is left
    resumed = list(row.run(Curved(row), stored(run[2]), {"order": order, "eta": 0.6}))
    assert mx.array_equal(resumed[-1].latents, run[-1].latents).item()


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("euler", 1),
        ("heun", 2),
        ("dpm_2", 2),
        ("dpmpp_2m", 2),
        ("ipndm", 2),
        ("res_multistep", 2),
        ("lms", 2),
    ],
)
def test_more_steps_come_nearer_as_fast_as_the_order_says(name: str, order: int) -> None:
    def ended(steps: int) -> Any:
        row = SAMPLERS[name]
        levels = [0.8 - 0.6 * step / steps for step in range(steps + 1)]
        *_, last = row.run(Curved(row, levels), State(0, START))
        return np.array(last.latents)

    exact = ended(2048)
    ratio = np.abs(ended(16) - exact).max() / np.abs(ended(64) - exact).max()
    assert ratio > 0.6 * 4**order
