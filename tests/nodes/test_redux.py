"""Redux's stages: 729 tokens, fewer on request, and their place after the prompt's."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.core import array

from run_graph.nodes import ConcatConditioning, LoadRedux, PatchDownsample, ReduxEncode
from run_graph.runtime.generation import Reference
from run_graph.runtime.values import Conditioning, ReduxTokens, Vision

SIDE = 27
WIDTH = 8


def grid(seed: int = 0, batch: int = 1, path: str = "a.png") -> ReduxTokens:
    tokens = mx.random.normal((batch, SIDE * SIDE, WIDTH), key=mx.random.key(seed))
    return ReduxTokens(tokens, Reference(path=path, tokens=batch * SIDE * SIDE))


def prompt(tokens: int = 5, width: int = WIDTH) -> Conditioning:
    return Conditioning.of(mx.ones((1, tokens, width)), mx.zeros((1, 3)), "a fox")


def square(tokens: array) -> np.ndarray:
    side = int(tokens.shape[1] ** 0.5)
    return np.array(tokens).reshape(tokens.shape[0], side, side, -1)


# -- ReduxEncode ------------------------------------------------------------------------------------


def test_every_patch_becomes_one_token_by_two_layers_with_a_silu_between(
    bench: Any, small_model: str
) -> None:
    hidden = mx.random.normal((1, SIDE * SIDE, 64), key=mx.random.key(3))
    redux = bench.run(LoadRedux(model=small_model)).redux
    out = bench.run(ReduxEncode(redux=redux, vision=Vision(hidden, Reference(path="a.png")))).tokens

    [weights_file] = (Path(small_model) / "image_embedder").glob("*.safetensors")
    weights = {name: np.array(value) for name, value in mx.load(str(weights_file)).items()}
    up = np.array(hidden) @ weights["redux_up.weight"].T + weights["redux_up.bias"]
    expected = (up / (1 + np.exp(-up))) @ weights["redux_down.weight"].T + weights["redux_down.bias"]
    np.testing.assert_allclose(np.array(out.tokens.astype(mx.float32)), expected, atol=2e-4, rtol=1e-4)
    assert out.reference == Reference(path="a.png", tokens=729, redux_model=redux.checkpoint.name)


# -- PatchDownsample --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "tokens"), [("lowest", 25), ("low", 36), ("medium", 81), ("high", 169), ("highest", 729)]
)
def test_each_mode_keeps_its_number_of_tokens(bench: Any, mode: str, tokens: int) -> None:
    out = bench.run(PatchDownsample(tokens=grid(), mode=mode)).tokens
    assert out.tokens.shape == (1, tokens, WIDTH)
    assert out.reference == Reference(path="a.png", mode=mode, interpolation="area", tokens=tokens)


def test_the_default_is_the_mean_of_disjoint_3_by_3_squares(bench: Any) -> None:
    tokens = grid()
    means = square(tokens.tokens).reshape(1, 9, 3, 9, 3, WIDTH).mean(axis=(2, 4))
    out = bench.run(PatchDownsample(tokens=tokens)).tokens.tokens
    np.testing.assert_allclose(square(out), means, atol=1e-6)


def test_nearest_picks_tokens_as_they_are(bench: Any) -> None:
    tokens = grid()
    out = bench.run(PatchDownsample(tokens=tokens, interpolation="nearest")).tokens.tokens
    np.testing.assert_array_equal(square(out), square(tokens.tokens)[:, ::3, ::3])


@pytest.mark.parametrize("interpolation", ["area", "bicubic", "nearest", "bilinear", "nearest-exact"])
def test_highest_changes_nothing_in_any_interpolation(bench: Any, interpolation: str) -> None:
    tokens = grid()
    out = bench.run(PatchDownsample(tokens=tokens, mode="highest", interpolation=interpolation)).tokens
    np.testing.assert_allclose(np.array(out.tokens), np.array(tokens.tokens), atol=1e-6)


@pytest.mark.parametrize(("factor", "side"), [(1, 27), (2, 14), (2.5, 11), (3, 9), (4, 7), (9, 3)])
def test_an_explicit_factor_replaces_the_mode_and_rounds(bench: Any, factor: float, side: int) -> None:
    out = bench.run(PatchDownsample(tokens=grid(), mode="lowest", factor=factor)).tokens
    assert out.tokens.shape[1] == side**2
    assert (out.reference.mode, out.reference.factor) == (None, factor)


def test_each_picture_of_a_batch_is_reduced_separately(bench: Any) -> None:
    both = grid(batch=2)
    out = bench.run(PatchDownsample(tokens=both)).tokens
    alone = bench.run(PatchDownsample(tokens=ReduxTokens(both.tokens[1:], both.reference))).tokens
    np.testing.assert_allclose(np.array(out.tokens[1:]), np.array(alone.tokens), atol=1e-6)
    assert out.reference.tokens == 2 * 81


def test_the_tokens_that_came_in_are_left_alone(bench: Any) -> None:
    tokens = grid()
    before = np.array(tokens.tokens)
    bench.run(PatchDownsample(tokens=tokens, interpolation="bicubic"))
    np.testing.assert_array_equal(np.array(tokens.tokens), before)


# -- ConcatConditioning -----------------------------------------------------------------------------


def test_tokens_follow_the_prompts_in_the_order_of_the_chain(bench: Any) -> None:
    first, second = grid(1, path="first.png"), grid(2, path="second.png")
    one = bench.run(ConcatConditioning(conditioning=prompt(), tokens=first)).conditioning
    two = bench.run(ConcatConditioning(conditioning=one, tokens=second, strength=0.5)).conditioning
    expected = [np.ones((1, 5, WIDTH)), np.array(first.tokens), np.array(second.tokens) / 2]
    np.testing.assert_array_equal(np.array(two.only.tokens), np.concatenate(expected, axis=1))
    assert [(ref.path, ref.strength) for ref in two.only.references] == [
        ("first.png", 1.0),
        ("second.png", 0.5),
    ]
    assert len(one.only.references) == 1  # the chain's earlier link is as it was


@pytest.mark.parametrize("strength", [0, 0.25, 1])
def test_strength_multiplies_the_pictures_tokens_only(bench: Any, strength: float) -> None:
    tokens = grid()
    node = ConcatConditioning(conditioning=prompt(), tokens=tokens, strength=strength)
    out = np.array(bench.run(node).conditioning.only.tokens)
    np.testing.assert_array_equal(out[:, :5], 1)
    np.testing.assert_allclose(out[:, 5:], np.array(tokens.tokens) * strength, rtol=1e-6)


def test_the_pictures_of_a_batch_follow_one_another(bench: Any) -> None:
    both = grid(batch=2)
    out = bench.run(ConcatConditioning(conditioning=prompt(), tokens=both)).conditioning
    assert out.only.tokens.shape == (1, 5 + 2 * 729, WIDTH)
    np.testing.assert_array_equal(np.array(out.only.tokens[0, 5 + 729 :]), np.array(both.tokens[1]))


def test_the_prompts_precision_is_kept(bench: Any) -> None:
    text = Conditioning.of(mx.ones((1, 5, WIDTH), mx.bfloat16), mx.zeros((1, 3)), "")
    out = bench.run(ConcatConditioning(conditioning=text, tokens=grid())).conditioning
    assert out.only.tokens.dtype == mx.bfloat16
    assert out.only.prompt == text.only.prompt
    np.testing.assert_array_equal(np.array(out.only.pooled), np.array(text.only.pooled))


def test_models_that_do_not_belong_together_are_named_with_the_fix(bench: Any) -> None:
    node = ConcatConditioning(conditioning=prompt(width=16), tokens=grid())
    with pytest.raises(ValueError, match=r"16 wide and the picture's 8: LoadFlux and LoadRedux name models"):
        bench.run(node)
