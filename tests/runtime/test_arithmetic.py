"""Arithmetic, and nothing but arithmetic."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from run_graph.runtime.arithmetic import FUNCTIONS, ExpressionError, evaluate, fault

VARIABLES = {"a": 3, "b": 4.5, "c": True}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b * 2", 12),
        ("-a // 2", -2),
        ("7 % a ** 2", 7),
        ("2 ** -1", 0.5),
        ("a < b <= 4.5", True),
        ("1 if a > b else 2", 2),
        ("not c or a", 3),
        ("a and 0", 0),
        ("sum(values)", 8.5),
        ("sum(a, b)", 7.5),
        ("max(values) - min(a, 1)", 3.5),
        ("round(10 / a, 2)", 3.33),
        ("int(sqrt(16) + log2(8))", 7),
        (" a ", 3),
    ],
)
def test_results(expression: str, expected: float) -> None:
    assert evaluate(expression, VARIABLES) == expected
    assert fault(expression, VARIABLES) is None


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "is not an expression"),
        ("a +", "is not an expression"),
        ("x", "no value 'x'; known are a, b, c, values"),
        ("sqr(2)", "no function 'sqr'; known are sum, min"),
        ("a(1)", "no function 'a'"),
        ("a.real", "'a.real' is not arithmetic"),
        ("().__class__.__bases__", "is not arithmetic"),
        ("__import__('os')", "no function '__import__'"),
        ("[a]", "is not arithmetic"),
        ("'text'", "'text' is not a number"),
        ("lambda: a", "is not arithmetic"),
        ("(a := 1)", "is not arithmetic"),
        ("sum(x for x in values)", "is not arithmetic"),
        ("a << 2", "'LShift' is not arithmetic"),
        ("round(a, ndigits=1)", "names an argument"),
        ("1 + " * 3000 + "1", "more than 10,000 characters"),
        ("-" * 9000 + "1", "nested too deeply"),
    ],
)
def test_what_is_no_arithmetic_is_known_without_the_numbers(expression: str, message: str) -> None:
    assert message in (fault(expression, VARIABLES) or "")
    with pytest.raises(ExpressionError, match=r".+"):
        evaluate(expression, VARIABLES)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0", "division by zero"),
        ("sqrt(-1)", "math domain error|nonnegative"),
        ("(-8) ** 0.5", "not a real number"),
        ("1e308 * 10", "not a finite number"),
        ("9 ** 9 ** 9", "exponent 387420489 is above 4000"),
        ("pow(2, 5000)", "exponent 5000 is above 4000"),
        ("(9 ** 4000) ** 4000", "a power is too large"),
        ("10 ** 400", "too large"),
        ("values", "a list of numbers"),
        ("values * 2", "a list of numbers"),
        ("abs(1, 2)", "one argument"),
    ],
)
def test_what_has_no_number_as_its_result_is_told(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        evaluate(expression, VARIABLES)


TOKENS = ["a", "b", "values", "1", "9", "(", ")", "+", "*", "**", "/", ",", " ", ".", "not ", *FUNCTIONS]


@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
def test_any_text_gives_a_number_or_a_reason_soon(expression: str) -> None:
    started = time.perf_counter()
    try:
        result: object = evaluate(expression, {"a": 2, "b": 9**9})
    except ExpressionError as error:
        result = len(str(error))
    assert isinstance(result, int | float)
    assert time.perf_counter() - started < 2
