"""torchsde's Brownian path without torchsde."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from run_graph.runtime.sampling.brownian import BrownianPath, path_over

GOLDEN = json.loads((Path(__file__).parent / "golden" / "comfyui_noise.json").read_text())
SEEDS = [seed for seed in GOLDEN if "brownian" in GOLDEN[seed]]


def single(level: float) -> float:
    return float(np.float32(level))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_noise_is_what_comfyuis_samplers_got(seed: str) -> None:
    path = path_over(int(seed), (1, 16, 12, 12), [1.0, single(0.8), single(0.2), 0.0])
    for step, expected in GOLDEN[seed]["brownian"].items():
        level, following = (single(float(word)) for word in step.split(" to "))
        np.testing.assert_allclose(path.noise(level, following).ravel()[:8], expected, rtol=1e-6, atol=1e-7)


def test_the_seed_and_the_range_alone_decide_whatever_was_asked_before() -> None:
    levels = [1.0, 0.93, 0.9170001, 0.5, 0.38, 0.3]
    steps = list(itertools.pairwise(levels))
    whole = path_over(7, (3, 5), levels)
    expected = [whole.noise(*step) for step in steps]
    for start in range(len(steps)):
        later = path_over(7, (3, 5), levels)
        np.testing.assert_array_equal(later.noise(*steps[start]), expected[start])
    for step, noise in zip(steps[::-1], expected[::-1], strict=True):
        np.testing.assert_array_equal(whole.noise(*step), noise)


def test_increments_add_up() -> None:
    path = BrownianPath(3, (4, 4), 0.1, 1.0)
    parts = sum(
        path.noise(start, end) * np.sqrt(np.float32(end - start)) for start, end in [(0.1, 0.4), (0.4, 0.9)]
    )
    np.testing.assert_allclose(path.noise(0.1, 0.9) * np.sqrt(np.float32(0.8)), parts, atol=1e-5)


def test_the_way_back_is_the_opposite() -> None:
    path = BrownianPath(3, (4,), 0.1, 1.0)
    np.testing.assert_array_equal(path.noise(0.2, 0.7), -path.noise(0.7, 0.2))


def test_the_noise_is_standard_normal_and_that_of_steps_apart_is_independent() -> None:
    path = BrownianPath(11, (100_000,), 0.1, 1.0)
    first, second = path.noise(1.0, 0.8), path.noise(0.8, 0.75)
    for noise in (first, second):
        assert abs(noise.mean()) < 0.02
        assert noise.std() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    inner = path.noise(1.0, 0.9)  # half of the first: correlated by the root of a half
    assert np.corrcoef(first, inner)[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.02)
