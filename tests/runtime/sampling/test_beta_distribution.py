"""Quantiles of the beta distribution."""

import math

import pytest

from run_graph.runtime.sampling.beta_distribution import distribution, quantile

SHAPES = [(0.6, 0.6), (0.8, 0.5), (1, 1), (0.3, 2), (5, 5), (50, 50), (50, 0.5), (2, 30)]
PROBABILITIES = [0.01, 0.05, 0.25, 0.3, 0.5, 0.75, 0.95, 0.99]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("probability", PROBABILITIES)
def test_a_quantile_has_its_probability_below_it(probability: float, shape: tuple[float, float]) -> None:
    assert distribution(quantile(probability, *shape), *shape) == pytest.approx(probability, rel=1e-9)


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_known_distributions(probability: float) -> None:
    assert quantile(probability, 1, 1) == pytest.approx(probability, rel=1e-12)
    assert quantile(probability, 3, 1) == pytest.approx(probability ** (1 / 3), rel=1e-12)
    assert quantile(probability, 0.5, 0.5) == pytest.approx(
        math.sin(math.pi * probability / 2) ** 2, rel=1e-9
    )


def test_a_symmetric_distribution_has_its_median_in_the_middle() -> None:
    assert quantile(0.5, 0.6, 0.6) == 0.5


def test_quantiles_next_to_the_ends_are_told_apart_as_far_as_numbers_can() -> None:
    assert 0 < quantile(0.1, 0.05, 0.05) < 1e-10
    assert 1 - 1e-10 < quantile(0.9, 0.05, 0.05) <= 1


def test_ends() -> None:
    assert (quantile(0.0, 0.6, 0.6), quantile(1.0, 0.6, 0.6)) == (0.0, 1.0)
    assert (distribution(0.0, 2, 3), distribution(1.0, 2, 3)) == (0.0, 1.0)


def test_numbers_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="parity oracle: scipy's distribution")
    for shape in SHAPES:
        for probability in PROBABILITIES:
            expected = stats.beta.ppf(probability, *shape)
            assert quantile(probability, *shape) == pytest.approx(expected, abs=1e-12)
