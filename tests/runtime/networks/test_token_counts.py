"""How many tokens a mode or a factor leaves, with the rounding of each convention."""

from __future__ import annotations

import subprocess
import sys

import pytest

from run_graph.runtime.networks.token_counts import MODES, grid_for_factor, grid_for_mode, side_of


@pytest.mark.parametrize(
    ("mode", "tokens"), [("lowest", 25), ("low", 36), ("medium", 81), ("high", 169), ("highest", 729)]
)
def test_a_mode_leaves_the_token_count_of_comfyui_and_invokeai(mode: str, tokens: int) -> None:
    assert grid_for_mode(mode, 27) ** 2 == tokens


def test_modes_round_down_on_siglip_512() -> None:
    assert [grid_for_mode(mode, 32) for mode in MODES] == [6, 8, 10, 16, 32]


@pytest.mark.parametrize(
    ("factor", "side"), [(1, 27), (2, 14), (3, 9), (4, 7), (5, 5), (6, 4), (7, 4), (9, 3)]
)
def test_a_factor_rounds_half_to_even_as_reduxadvanced_does(factor: float, side: int) -> None:
    assert grid_for_factor(factor, 27) == side


def test_float_factors_reach_21_sides_of_27() -> None:
    assert len({grid_for_factor(tenths / 10, 27) for tenths in range(10, 91)}) == 21


def test_a_small_grid_keeps_at_least_one_token() -> None:
    assert grid_for_mode("lowest", 4) == 1
    assert grid_for_factor(9, 4) == 1


@pytest.mark.parametrize("factor", [0.99, 0, -3, float("nan"), float("inf")])
def test_a_factor_below_one_or_not_finite_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        grid_for_factor(factor, 27)


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="lowest, low, medium, high, highest"):
        grid_for_mode("tiny", 27)


def test_a_grid_has_a_side_of_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        grid_for_mode("low", 0)


@pytest.mark.parametrize("tokens", [0, -4, 2, 728, 730])
def test_only_square_token_counts_have_a_side(tokens: int) -> None:
    with pytest.raises(ValueError, match="square"):
        side_of(tokens)
    assert side_of(729) == 27


def test_the_constants_load_without_mlx() -> None:
    code = (
        "import sys, run_graph.runtime.networks.token_counts\n"
        "assert not {'mlx', 'mflux', 'PIL', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
