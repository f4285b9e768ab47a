"""Weights in prompts, as ComfyUI reads them."""

import pytest

from run_graph.runtime.models.prompt_weights import pieces


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a fox", [("a fox", 1)]),
        ("", []),
        ("a (red) fox", [("a ", 1), ("red", 1.1), (" fox", 1)]),
        ("a ((red)) fox", [("a ", 1), ("red", 1.1 * 1.1), (" fox", 1)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("((red:1.3))", [("red", 1.3)]),
        ("(a (b:0.8):1.5)", [("a ", 1.5), ("b", 0.8)]),
        ("(a (b):1.5)", [("a ", 1.5), ("b", 1.5 * 1.1)]),
        ("(red:bright)", [("red:bright", 1.1)]),
        ("(:1.5)", [(":1.5", 1.1)]),
        ("(red:-0.5)", [("red", -0.5)]),
        (r"a \(red\) fox", [("a (red) fox", 1)]),
        (r"(a \(b\):1.2)", [("a (b)", 1.2)]),
        ("[red]", [("[red]", 1)]),
        ("a (red fox", [("a ", 1), ("(red fox", 1)]),
        ("a red) fox", [("a red) fox", 1)]),
        ("a) (red) (fox)", [("a) (red) (fox)", 1)]),  # one bracket too many makes all others plain
    ],
)
def test_brackets_are_weights(prompt: str, expected: list[tuple[str, float]]) -> None:
    found = [(piece.text, piece.weight) for piece in pieces(prompt) if piece.text or piece.weight != 1]
    joined = [(text, pytest.approx(weight)) for text, weight in expected]
    assert [each for each in found if each[0]] == [each for each in joined if each[0]]
