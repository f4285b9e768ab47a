"""Hamilton's caching, from its tests/caching/test_integration.py.

Only facts about behaviour come from there; each test names the case. A key here identifies the inputs of a
node, Hamilton's identifies a result. Its case in which a changed node with an unchanged result leaves its
readers cached therefore does not apply. Nor do its caching modes and stores of single nodes, and its code
hashing: here the counterpart of changed code is the class's ``version``.
"""

from typing import Any

import pytest
from engine import Engine, workflow

from run_graph.graph import Context, Field, Node, Outputs, Registry, Workflow
from run_graph.runtime.cache import MemoryCache
from run_graph.runtime.errors import NodeFailed


class Number(Outputs):
    value: int


def family(a_version: int = 1, b_fails: bool = False) -> Registry:
    """Nodes A, B(A) and C(B), each with a given version of its code."""

    class A(Node):
        """A number."""

        version = a_version
        value: int = Field(default=1, description="A number.")

        def run(self, ctx: Context) -> Number:
            return Number(value=self.value * a_version)

    class B(Node):
        """Its negative."""

        a: int

        def run(self, ctx: Context) -> Number:
            if b_fails:
                raise ValueError("no")
            return Number(value=-self.a)

    class C(Node):
        """One more."""

        b: int

        def run(self, ctx: Context) -> Number:
            return Number(value=self.b + 1)

    return Registry([A, B, C])


def chain(**a: Any) -> Workflow:
    return workflow(A=("A", a), B=("B", {"a": "@A"}), C=("C", {"b": "@B"}))


class Driver:
    """One result cache used by changing code."""

    def __init__(self) -> None:
        self.cache = MemoryCache()

    def execute(self, target: str, registry: Registry, **a: Any) -> tuple[int, list[str]]:
        engine = Engine(registry, self.cache)
        result = engine.run(chain(**a), [target])
        return result.outputs(target).value, engine.ran  # type: ignore[attr-defined]


def test_code_change_do_recompute() -> None:
    """test_code_change_(same|different)_result_do_recompute."""
    driver = Driver()
    assert driver.execute("A", family()) == (1, ["A"])
    assert driver.execute("A", family()) == (1, [])
    assert driver.execute("A", family(a_version=2)) == (2, ["A"])
    assert driver.execute("A", family()) == (1, [])


def test_input_data_change_do_recompute() -> None:
    """test_input_data_change_do_recompute."""
    driver = Driver()
    assert driver.execute("B", family(), value=1) == (-1, ["A", "B"])
    assert driver.execute("B", family(), value=1) == (-1, [])
    assert driver.execute("B", family(), value=2) == (-2, ["A", "B"])


def test_dependency_code_change_do_recompute() -> None:
    """test_dependency_code_change_different_result_do_recompute."""
    driver = Driver()
    assert driver.execute("B", family()) == (-1, ["A", "B"])
    assert driver.execute("B", family(a_version=2)) == (-2, ["A", "B"])
    assert driver.execute("C", family()) == (0, ["C"])


def test_an_explicit_value_equal_to_the_default_does_not_recompute() -> None:
    """test_override_with_same_value_dont_recompute, for a parameter in place of an override."""
    driver = Driver()
    assert driver.execute("B", family()) == (-1, ["A", "B"])
    assert driver.execute("B", family(), value=1) == (-1, [])
    assert driver.execute("B", family(), value=13) == (-13, ["A", "B"])


def test_node_that_raises_error() -> None:
    """test_node_that_raises_error: earlier results are kept, those of the failed node are not."""
    driver = Driver()
    with pytest.raises(NodeFailed) as error:
        driver.execute("C", family(b_fails=True))
    assert isinstance(error.value.__cause__, ValueError)
    assert len(driver.cache) == 1
    assert driver.execute("C", family()) == (0, ["B", "C"])


def test_a_cached_target_needs_nothing_upstream() -> None:
    """A cached result is used, whether its dependencies are still cached or not."""
    cache = MemoryCache()
    engine = Engine(family(), cache)
    engine.run(chain(), ["C"])
    engine.run(chain(), ["C"])
    assert [event.kind for event in engine.events] == ["run_started", "node_reused", "run_finished"]
