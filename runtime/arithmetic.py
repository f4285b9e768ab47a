"""Arithmetic expressions in Python's notation, computed without running any code.

Numbers, variables, ``+ - * / // % **``, comparisons, ``and``, ``or``, ``not``, ``x if c else y`` and the
functions in `FUNCTIONS` are all there is; anything else is refused.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from run_graph.graph.faults import shorten

Number = int | float | bool

_LONGEST = 10_000  # characters of an expression
_MOST_BITS = 1 << 16  # of a whole number
_LARGEST_EXPONENT = 4000


class ExpressionError(ValueError):
    """An expression is not arithmetic, or has no result; the message says why."""


def evaluate(expression: str, variables: Mapping[str, Number]) -> Number:
    """The value of an expression.

    Parameters
    ----------
    expression : str
    variables : mapping
        Numbers by name. ``values`` is the list of all of them, for ``sum``, ``min`` and ``max``.

    Raises
    ------
    ExpressionError
        If it is not arithmetic, names something unknown or has no finite number as its result.
    """
    tree = _parsed(expression, variables)
    try:
        result = _value(tree, {**variables, "values": list(variables.values())})
        if not isinstance(result, int | float):
            raise ExpressionError("the result is a list of numbers, not a number; use sum, min or max of it")
        if not math.isfinite(result):
            raise ExpressionError("the result is not a finite number")
    except (ArithmeticError, ValueError, TypeError, RecursionError) as error:
        raise ExpressionError(f"{shorten(expression)} cannot be computed: {_reason(error)}") from None
    return result


def fault(expression: str, names: Collection[str]) -> str | None:
    """What is wrong with an expression, whatever the numbers; None if nothing is."""
    try:
        _parsed(expression, names)
    except ExpressionError as error:
        return str(error)
    return None


def _parsed(expression: str, names: Collection[str]) -> ast.expr:
    """The expression's tree, which has nothing but arithmetic with these names. Raises ExpressionError."""
    if len(expression) > _LONGEST:
        raise ExpressionError(f"the expression has more than {_LONGEST:,} characters; shorten it")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{shorten(expression)} is not an expression: {_reason(error)}") from None
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if problem := _problem(node, id(node) in functions, [*names, "values"]):
            raise ExpressionError(f"{shorten(expression)}: {problem}")
    return tree


def _problem(node: ast.AST, is_function: bool, names: Sequence[str]) -> str | None:
    """What is not arithmetic about a part of an expression."""
    if isinstance(node, ast.Name):
        known = list(FUNCTIONS) if is_function else names
        kind = "function" if is_function else "value"
        return None if node.id in known else f"there is no {kind} {node.id!r}; known are {', '.join(known)}"
    if isinstance(node, ast.Constant):
        number = isinstance(node.value, int | float)
        return None if number else f"{node.value!r} is not a number; remove it"
    if isinstance(node, ast.Call) and node.keywords:
        return f"{ast.unparse(node)!r} names an argument; leave the name out"
    if isinstance(node, _PARTS) or type(node) in _OPERATORS:
        return None
    part = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
    return f"{part!r} is not arithmetic; remove it"


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "it is nested too deeply"
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > _LARGEST_EXPONENT:
        raise ExpressionError(f"the exponent {exponent} is above {_LARGEST_EXPONENT}")
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _MOST_BITS:
        raise ExpressionError("a power is too large")
    result = base**exponent
    if isinstance(result, complex):
        raise ExpressionError(f"{base} to the power of {exponent} is not a real number")
    return result


def _times(a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b.bit_length() > _MOST_BITS:
        raise ExpressionError("a product is too large")
    return a * b


def _sum(*numbers: Any) -> Any:
    return sum(numbers[0] if len(numbers) == 1 and isinstance(numbers[0], list) else numbers)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sum": _sum,
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "pow": _power,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
    "floor": math.floor,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "int": int,
    "float": float,
}
"""The functions that an expression may call: those of ComfyUI's ComfyMathExpression."""

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


_PARTS = (
    ast.UnaryOp,
    ast.BinOp,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Load,
)


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """The value of a part of a parsed expression: a number, or the list ``values``."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp):
        return _applied(node.op, names, node.operand)
    if isinstance(node, ast.BinOp):
        return _applied(node.op, names, node.left, node.right)
    if isinstance(node, ast.BoolOp):
        return _logical(node, names)
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        pairs = zip(node.ops, operands, operands[1:], strict=False)
        return all(_applied(symbol, names, left, right) for symbol, left, right in pairs)
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, names) else node.orelse, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return FUNCTIONS[node.func.id](*(_value(argument, names) for argument in node.args))
    raise ExpressionError(f"{ast.unparse(node)!r} is not arithmetic; remove it")


def _applied(symbol: ast.AST, names: Mapping[str, Any], *operands: ast.expr) -> Any:
    values = [_value(operand, names) for operand in operands]
    if any(isinstance(value, list) for value in values):
        raise ExpressionError("'values' is a list of numbers, not a number; use sum, min or max of it")
    return _OPERATORS[type(symbol)](*values)


def _logical(node: ast.BoolOp, names: Mapping[str, Any]) -> Any:
    """The first operand that decides, or the last."""
    result: Any = None
    for operand in node.values:
        result = _value(operand, names)
        if bool(result) == isinstance(node.op, ast.Or):
            break
    return result
