"""Layers with changed weights: each term multiplies as its matrix does, whatever was done to it before."""

import os
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from run_graph.runtime.networks.adapted import (
    AdaptedLinear,
    Dense,
    Hadamard,
    Kronecker,
    LowRank,
    Term,
    whole_weight,
)

OUTPUTS, INPUTS = 12, 8
ROWS, COLUMNS = mx.linspace(0.5, 2, OUTPUTS), mx.linspace(-1, 1, INPUTS)


def random(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


TERMS: dict[str, Callable[[], Term]] = {
    "low rank": lambda: LowRank(random(OUTPUTS, 3), random(3, INPUTS, seed=1)),
    "Hadamard": lambda: Hadamard(
        random(OUTPUTS, 2), random(2, INPUTS, seed=1), random(OUTPUTS, 2, seed=2), random(2, INPUTS, seed=3)
    ),
    "Kronecker": lambda: Kronecker(random(3, 4), random(4, 2, seed=1)),
    "dense": lambda: Dense(random(OUTPUTS, INPUTS)),
}


def close(one: mx.array, other: mx.array, tolerance: float = 1e-5) -> bool:
    return bool(mx.abs(one - other).max() <= tolerance * mx.abs(other).max())


@pytest.fixture(params=TERMS)
def term(request: pytest.FixtureRequest) -> Term:
    return TERMS[request.param]()


# Slices with whole blocks of the Kronecker product's second factor, and others.
@pytest.mark.parametrize("rows", [[slice(0, 12)], [slice(4, 8)], [slice(3, 9)], [slice(6, 12), slice(0, 6)]])
def test_rows_and_factors_of_a_term_are_those_of_its_matrix(term: Term, rows: list[slice]) -> None:
    x, order = (
        random(2, 5, INPUTS, seed=9),
        np.concatenate([np.arange(each.start, each.stop) for each in rows]),
    )
    expected = (term.matrix() * ROWS[:, None] * COLUMNS * 3)[mx.array(order)]
    scaled_first = term.scaled(ROWS, COLUMNS).taken(rows).scaled(3.0)
    taken_first = term.scaled(rows=3.0).taken(rows).scaled(ROWS[mx.array(order)], COLUMNS)
    for found in (scaled_first, taken_first):
        assert close(found.matrix(), expected)
        assert close(found(x), x @ expected.T)


def test_rows_of_rows_of_a_term_can_be_taken(term: Term) -> None:
    found = term.taken([slice(1, 11)]).taken([slice(2, 5), slice(0, 2)])
    assert close(found.matrix(), mx.concatenate([term.matrix()[3:6], term.matrix()[1:3]]))


def test_several_of_low_rank_are_one() -> None:
    terms = [LowRank(random(OUTPUTS, rank, seed=rank), random(rank, INPUTS)) for rank in (1, 2, 4)]
    joined = LowRank.joined(terms)
    assert joined.up.shape == (OUTPUTS, 7)
    assert close(joined.matrix(), sum((each.matrix() for each in terms[1:]), terms[0].matrix()))


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_changed_layer_computes_with_the_changed_weight(
    quantised: bool, dtype: mx.Dtype, whole: bool
) -> None:
    layer: nn.Module = nn.Linear(64, OUTPUTS)
    layer.set_dtype(dtype)
    layer = nn.QuantizedLinear.from_linear(layer, 64, 4) if quantised else layer
    terms = [
        LowRank(random(OUTPUTS, 3), random(3, 64, seed=1)),
        Kronecker(random(3, 8), random(4, 8, seed=1)),
    ]
    if whole:
        terms[1] = terms[1].taken([slice(1, OUTPUTS), slice(0, 1)])
    rows, columns, bias = random(OUTPUTS, seed=4), random(64, seed=5), random(OUTPUTS, seed=6)
    adapted = AdaptedLinear(layer, terms, bias, rows, columns)
    weight = (
        whole_weight(layer, []).astype(mx.float32) * rows[:, None] * columns
        + terms[0].matrix()
        + terms[1].matrix()
    )
    x = random(3, 64, seed=7).astype(dtype)
    expected = x.astype(mx.float32) @ weight.T + layer.bias + bias
    adapted.set_dtype(dtype)
    tolerance = 1e-5 if dtype == mx.float32 else 0.03
    assert adapted(x).dtype == dtype
    assert close(adapted(x).astype(mx.float32), expected, tolerance)
    # GPUs run it compiled. On a CPU compiling takes seconds, and numpy, which computes float32, cannot be.
    if os.environ.get("RUN_GRAPH_ALL_LORAS") and dtype != mx.float32:
        assert close(mx.compile(adapted)(x).astype(mx.float32), expected, tolerance)


def test_the_layer_itself_is_not_changed() -> None:
    layer = nn.Linear(INPUTS, OUTPUTS)
    x = random(2, INPUTS)
    before = layer(x)
    AdaptedLinear(layer, [], rows=ROWS)(x)
    assert "bias" in layer
    assert mx.array_equal(layer(x), before)
