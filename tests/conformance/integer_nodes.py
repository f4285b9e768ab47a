"""The seven integer classes of the recorded engine traces."""

import itertools
from typing import Any

from run_graph.graph import Context, Environment, Field, Lazy, Node, Outputs, Registry

_ticks = itertools.count()


class Integer(Outputs):
    value: int


class Quotient(Outputs):
    quotient: int
    remainder: int


class Const(Node):
    """A number."""

    value: int = Field(description="The number.")

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.value)


class Inc(Node):
    """One more."""

    x: int = Field(description="A number.")

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.x + 1)


class Add(Node):
    """The sum of two."""

    a: int = Field(description="A number.")
    b: int = Field(description="Another.")

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.a + self.b)


class DivMod(Node):
    """Quotient and remainder."""

    a: int = Field(description="Dividend.")
    b: int = Field(description="Divisor.", ge=1)

    def run(self, ctx: Context) -> Quotient:
        quotient, remainder = divmod(self.a, self.b)
        return Quotient(quotient=quotient, remainder=remainder)


class Switch(Node):
    """One of two; the other is not computed."""

    cond: int = Field(description="Not 0: on_true.")
    on_true: Lazy[int] = Field(description="Taken if cond is not 0.")
    on_false: Lazy[int] = Field(description="Taken if cond is 0.")

    def required_lazy_inputs(self) -> list[str]:
        return ["on_true" if self.cond else "on_false"]

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.on_true if self.cond else self.on_false)


class Volatile(Node):
    """Its input; runs every time."""

    x: int = Field(description="A number.")

    def fingerprint(self, env: Environment) -> Any:
        return next(_ticks)

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.x)


class Sink(Node):
    """An output node."""

    is_output = True

    x: int = Field(description="A number.")

    def run(self, ctx: Context) -> Integer:
        return Integer(value=self.x)


REGISTRY = Registry([Const, Inc, Add, DivMod, Switch, Volatile, Sink])
