"""Numbers, texts and choices."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable
from string import ascii_lowercase
from typing import Any

from pydantic import create_model

from run_graph.graph import Context, Environment, Field, Lazy, Node, Outputs, Problem

_LARGEST = 2**63 - 1


class Int(Outputs):
    int: builtins.int = Field(description="The number.")


class Float(Outputs):
    float: builtins.float = Field(description="The number.")


class Boolean(Outputs):
    boolean: bool = Field(description="Yes or no.")


class Text(Outputs):
    string: str = Field(description="The text.")


class Chosen(Outputs):
    output: Any = Field(description="The input that was chosen.")


class Computed(Outputs):
    float: builtins.float = Field(description="The result.")
    int: builtins.int = Field(description="The result without what follows the point.")
    bool: builtins.bool = Field(description="Whether the result is not 0.")


class PrimitiveInt(Node):
    """A whole number for several inputs."""

    category = "comfyui/values"
    persistent = False

    value: int = Field(
        default=0,
        ge=-_LARGEST,
        le=_LARGEST,
        description="The number.",
        json_schema_extra={"control_after_generate": "fixed"},
    )

    def run(self, ctx: Context) -> Int:
        return Int(int=self.value)


class PrimitiveFloat(Node):
    """A number for several inputs."""

    category = "comfyui/values"
    persistent = False

    value: float = Field(default=0.0, ge=-_LARGEST, le=_LARGEST, description="The number.")

    def run(self, ctx: Context) -> Float:
        return Float(float=self.value)


class PrimitiveString(Node):
    """A text for several inputs."""

    category = "comfyui/values"
    persistent = False

    value: str = Field(default="", description="The text.")

    def run(self, ctx: Context) -> Text:
        return Text(string=self.value)


class PrimitiveStringMultiline(Node):
    """A text of several lines for several inputs."""

    category = "comfyui/values"
    persistent = False

    value: str = Field(default="", description="The text.", json_schema_extra={"multiline": True})

    def run(self, ctx: Context) -> Text:
        return Text(string=self.value)


class PrimitiveBoolean(Node):
    """A yes or no for several inputs."""

    category = "comfyui/values"
    persistent = False

    value: bool = Field(default=False, description="Yes or no.")

    def run(self, ctx: Context) -> Boolean:
        return Boolean(boolean=self.value)


class StringConcatenate(Node):
    """Join two texts."""

    category = "comfyui/values"
    persistent = False

    string_a: str = Field(default="", description="The first text.", json_schema_extra={"multiline": True})
    string_b: str = Field(default="", description="The second text.", json_schema_extra={"multiline": True})
    delimiter: str = Field(default="", description="What stands between them.")

    def run(self, ctx: Context) -> Text:
        return Text(string=self.string_a + self.delimiter + self.string_b)


class PreviewAny(Node):
    """Show any value as text: numbers and texts as they are, lists and the like as JSON, others in words."""

    category = "comfyui/values"
    is_output = True
    persistent = False

    source: Any = Field(description="The value.")

    def run(self, ctx: Context) -> Text:
        if self.source is None or isinstance(self.source, str | int | float):
            return Text(string=str(self.source))
        try:
            return Text(string=json.dumps(self.source, indent=4, ensure_ascii=False))
        except (TypeError, ValueError):
            return Text(string=repr(self.source))


class ComfySwitchNode(Node):
    """Pass on one of two values; only that one is computed."""

    category = "comfyui/values"
    persistent = False

    switch: bool = Field(default=False, description="Which one.")
    on_false: Lazy[Any] = Field(description="The value if `switch` is false.")
    on_true: Lazy[Any] = Field(description="The value if `switch` is true.")

    def required_lazy_inputs(self) -> list[str]:
        return ["on_true" if self.switch else "on_false"]

    def run(self, ctx: Context) -> Chosen:
        return Chosen(output=self.on_true if self.switch else self.on_false)


class _Expression(Node):
    """Compute an arithmetic expression in Python's notation.

    Known are + - * / // % **, comparisons, `and`, `or`, `not`, `x if c else y`, the inputs by their letters,
    the list `values` of all of them, and sum, min, max, abs, round, pow, sqrt, ceil, floor, log, log2, log10,
    sin, cos, tan, int and float. A result that is not a finite number is an error.
    """

    category = "comfyui/values"
    persistent = False

    expression: str = Field(
        default="a + b", description="Such as `a * 8 + b`.", json_schema_extra={"multiline": True}
    )

    def _known(self) -> dict[str, Any]:
        given = {letter: getattr(self, f"values.{letter}") for letter in ascii_lowercase}
        return {letter: value for letter, value in given.items() if value is not None}

    def check(self, env: Environment) -> Iterable[Problem]:
        from run_graph.runtime.arithmetic import fault

        if isinstance(self.expression, str) and (message := fault(self.expression, self._known())):
            yield Problem("expression", message, "Change the expression, or link the values it names.")

    def run(self, ctx: Context) -> Computed:
        from run_graph.runtime.arithmetic import evaluate

        result = evaluate(self.expression, self._known())
        return Computed(float=float(result), int=int(result), bool=bool(result))


# ComfyUI calls the inputs that grow in number values.a, values.b, ...; a class statement cannot do that.
_VALUES: dict[str, Any] = {
    f"values.{letter}": (
        float | int | bool | None,
        Field(default=None, description=f"The value of `{letter}`."),
    )
    for letter in ascii_lowercase
}
ComfyMathExpression = create_model(
    "ComfyMathExpression", __base__=_Expression, __module__=__name__, __doc__=_Expression.__doc__, **_VALUES
)
