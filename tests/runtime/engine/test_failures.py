"""How a node that fails, or breaks its own declaration, is reported to the user."""

from asyncio import CancelledError
from typing import Any, ClassVar

import pytest
from conformance.integer_nodes import REGISTRY, Const, DivMod, Inc, Integer, Sink
from engine import Engine, workflow

from run_graph.graph import Context, Lazy, Node, Outputs, Registry, SocketValue
from run_graph.runtime.errors import NodeFailed


def value(result: Any, node_id: str) -> Any:
    return result.outputs(node_id).value


class Wordless(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Fail(Node):
    """Raises the given exception."""

    x: int = 0
    text: str = ""
    kind: str = "ValueError"

    def run(self, ctx: Context) -> Integer:
        kinds: dict[str, type[BaseException]] = {
            "ValueError": ValueError,
            "KeyError": KeyError,
            "OSError": OSError,
            "SystemExit": SystemExit,
            "CancelledError": CancelledError,
            "Wordless": Wordless,
        }
        raise kinds[self.kind](self.text)


FAILING = Registry([*REGISTRY.values(), Fail])


def test_a_failure_names_node_class_shortened_inputs_and_cause() -> None:
    given = workflow(one=(Const, {"value": 1}), f=(Fail, {"x": "@one", "text": "no " * 100}))
    with pytest.raises(NodeFailed) as caught:
        Engine(FAILING).run(given, ["f"])
    error = caught.value
    assert (error.node_id, error.class_type) == ("f", "Fail")
    assert error.inputs["x"] == "1"
    assert len(error.inputs["text"]) == 80
    assert isinstance(error.__cause__, ValueError)
    assert str(error).startswith("node 'f' (Fail) failed: no no no")


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("ValueError", "too wide", "too wide"),
        ("ValueError", "", "ValueError"),
        ("KeyError", "layer", "KeyError: 'layer'"),
        ("OSError", "disk full", "disk full"),
        ("SystemExit", "enough", "SystemExit: enough"),
        ("CancelledError", "", "CancelledError"),
        ("Wordless", "never seen", "Wordless"),
    ],
)
def test_the_reason_is_the_causes_message_or_its_type(kind: str, text: str, reason: str) -> None:
    with pytest.raises(NodeFailed) as error:
        Engine(FAILING).run(workflow(f=(Fail, {"text": text, "kind": kind})), ["f"])
    assert error.value.reason == reason


def test_after_a_failure_the_next_run_resumes_after_what_was_finished() -> None:
    engine = Engine(FAILING)
    broken = workflow(one=(Const, {"value": 1}), two=(Inc, {"x": "@one"}), f=(Fail, {"x": "@two"}))
    with pytest.raises(NodeFailed):
        engine.run(broken, ["f"])
    assert engine.ran == ["one", "two", "f"]
    with pytest.raises(NodeFailed):
        engine.run(broken, ["f"])
    assert engine.ran == ["f"]
    fixed = workflow(one=(Const, {"value": 1}), two=(Inc, {"x": "@one"}), f=(Sink, {"x": "@two"}))
    assert value(engine.run(fixed), "f") == 2
    assert engine.ran == ["f"]


def test_nothing_that_reads_a_failed_node_runs() -> None:
    engine = Engine(FAILING)
    with pytest.raises(NodeFailed):
        engine.run(workflow(f=(Fail, {}), s=(Sink, {"x": "@f"})))
    assert engine.ran == ["f"]


def test_a_node_that_fails_in_required_lazy_inputs_is_named() -> None:
    class Unsure(Node):
        cond: int
        late: Lazy[int]

        def required_lazy_inputs(self) -> list[str]:
            raise RuntimeError("not decided")

        def run(self, ctx: Context) -> Integer:
            return Integer(value=1)

    engine = Engine(Registry([Const, Unsure]))
    with pytest.raises(NodeFailed, match=r"node 'u' \(Unsure\) failed: not decided"):
        engine.run(workflow(c=(Const, {"value": 1}), u=(Unsure, {"cond": 1, "late": "@c"})), ["u"])


def test_a_linked_parameter_out_of_range_is_refused_naming_the_input() -> None:
    given = workflow(zero=(Const, {"value": 0}), d=(DivMod, {"a": 1, "b": "@zero"}))
    with pytest.raises(NodeFailed) as error:
        Engine(REGISTRY).run(given, ["d"])
    assert str(error.value) == (
        "node 'd' (DivMod) failed: input 'b': the value is too small "
        "(found 0; expected INT, at least 1). Write at least 1. [value_smaller_than_min]"
    )


class Text(Outputs):
    value: str


class TypeName(Node):
    """The name of a number's type."""

    x: float

    def run(self, ctx: Context) -> Text:
        return Text(value=type(self.x).__name__)


def test_a_linked_integer_reaches_a_float_as_a_float() -> None:
    given = workflow(one=(Const, {"value": 1}), name=(TypeName, {"x": "@one"}))
    assert value(Engine(Registry([Const, TypeName])).run(given, ["name"]), "name") == "float"


class Blob(SocketValue):
    """A value that only a link can deliver."""

    socket_type = "BLOB"


class Made(Outputs):
    blob: Blob


class Odd(Node):
    """Returns something other than it declares."""

    what: str

    def run(self, ctx: Context) -> Made:
        if self.what == "wrong socket":
            return Made(blob=5)  # type: ignore[arg-type]
        others: dict[str, Any] = {"bare": Blob(), "other": Integer(value=1), "dict": {"blob": Blob()}}
        return others.get(self.what)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing", "run returned NoneType, not Made"),
        ("bare", "run returned Blob, not Made"),
        ("other", "run returned Integer, not Made"),
        ("dict", "run returned dict, not Made"),
        ("wrong socket", "Made.blob: input should be an instance of Blob (found 5)"),
    ],
)
def test_a_run_that_returns_something_else_fails(what: str, message: str) -> None:
    with pytest.raises(NodeFailed) as error:
        Engine(Registry([Odd])).run(workflow(odd=(Odd, {"what": what})), ["odd"])
    assert str(error.value) == f"node 'odd' (Odd) failed: {message}"


def test_a_node_without_run_fails_by_name() -> None:
    class Idle(Node):
        run: ClassVar[Any] = Node.run

    with pytest.raises(TypeError, match=r"Idle\.run must be annotated"):
        Registry([Idle])
