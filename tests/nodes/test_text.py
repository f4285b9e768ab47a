"""TextEncode: any prompt, the empty one included, becomes tokens of a fixed number."""

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from run_graph.nodes import LoadFlux, TextEncode

T5_TOKENS = 16  # what the small model's tokenizer states


def encode(bench: Any, model: str, prompt: str) -> Any:
    text_encoders = bench.run(LoadFlux(model=model)).text_encoders
    return bench.run(TextEncode(text_encoders=text_encoders, prompt=prompt)).conditioning


@pytest.mark.parametrize("prompt", ["", "a fox", "späte Füchse 狐 🦊", "fox " * 500, "\n\t\0"])
def test_any_prompt_gives_the_models_number_of_finite_tokens(
    bench: Any, small_model: str, prompt: str
) -> None:
    conditioning = encode(bench, small_model, prompt)
    assert conditioning.only.tokens.shape == (1, T5_TOKENS, 128)
    assert conditioning.only.pooled.shape == (1, 64)
    assert bool(mx.isfinite(conditioning.only.tokens).all())
    assert bool(mx.isfinite(conditioning.only.pooled).all())
    assert (conditioning.only.prompt, conditioning.only.references) == (prompt, ())


def test_prompts_differ_in_both_encoders(bench: Any, small_model: str) -> None:
    fox, empty = (encode(bench, small_model, prompt) for prompt in ("a fox", ""))
    assert np.abs(np.array(fox.only.tokens - empty.only.tokens)).max() > 1e-3
    assert np.abs(np.array(fox.only.pooled - empty.only.pooled)).max() > 1e-3


def test_the_same_prompt_gives_the_same_tokens(bench: Any, small_model: str) -> None:
    first, again = (encode(bench, small_model, "a fox") for _ in range(2))
    np.testing.assert_array_equal(np.array(first.only.tokens), np.array(again.only.tokens))
