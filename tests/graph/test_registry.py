"""The registry: class_type -> class, and discovery through entry points."""

from asyncio import CancelledError

import pytest
from sample_nodes import REGISTRY, Blur, LoadPhoto, SavePhoto

from run_graph.graph import Context, Field, Node, Outputs, Registry, installed_nodes
from run_graph.graph import registry as registry_module


class Nothing(Outputs):
    done: bool


class Wordless(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


class FakeEntryPoint:
    """The entry point of an installed package with nodes."""

    def __init__(self, name: str, nodes: object) -> None:
        self.name = name
        self.value = f"{name}_package:NODES"
        self._nodes = nodes

    def load(self) -> object:
        if isinstance(self._nodes, BaseException):
            raise self._nodes
        return self._nodes() if callable(self._nodes) else self._nodes


def install(monkeypatch: pytest.MonkeyPatch, *entries: FakeEntryPoint) -> Registry:
    monkeypatch.setattr(registry_module, "entry_points", lambda group: list(entries))
    return installed_nodes.__wrapped__()


def test_classes_are_found_by_class_type_in_order_of_registration() -> None:
    registry = Registry([LoadPhoto, Blur])
    assert list(registry) == ["LoadPhoto", "Blur"]
    assert registry["Blur"] is Blur
    assert "Blur" in registry
    assert "SavePhoto" not in registry
    assert len(registry) == 2


def test_register_is_a_decorator_and_may_be_repeated() -> None:
    registry = Registry()
    assert registry.register(Blur) is Blur
    registry.register(Blur)
    assert len(registry) == 1


def test_two_classes_with_one_class_type_are_refused_and_both_named() -> None:
    class Other(Node):
        class_type = "Blur"

        def run(self, ctx: Context) -> Nothing:
            return Nothing(done=True)

    with pytest.raises(
        ValueError, match=r"two node classes are called 'Blur': sample_nodes\.Blur and .*Other"
    ):
        Registry([Blur, Other])


def test_a_class_with_an_input_without_socket_type_is_refused() -> None:
    class Odd(Node):
        x: list[int] = Field(description="No socket type.")

        def run(self, ctx: Context) -> Nothing:
            return Nothing(done=True)

    with pytest.raises(TypeError, match="no socket type"):
        Registry([Odd])


def test_producers_of_a_socket_type_are_listed() -> None:
    assert REGISTRY.producing("IMAGE") == ["LoadPhoto", "Blur", "Scale"]
    assert REGISTRY.producing("NOBODY") == []


def test_all_installed_packages_are_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = install(
        monkeypatch, FakeEntryPoint("aaa", [SavePhoto]), FakeEntryPoint("builtin", [LoadPhoto, Blur])
    )
    assert list(registry) == ["LoadPhoto", "Blur", "SavePhoto"]
    assert registry.problems == []


def test_a_package_that_fails_to_load_does_not_affect_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = install(
        monkeypatch, FakeEntryPoint("builtin", [Blur]), FakeEntryPoint("broken", ImportError("no such lib"))
    )
    assert list(registry) == ["Blur"]
    assert registry.problems == ["nodes of 'broken_package:NODES' were left out: ImportError: no such lib"]


@pytest.mark.parametrize("error", [SystemExit(5), SystemExit(0), CancelledError(), Wordless()])
def test_a_package_that_exits_when_imported_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    registry = install(monkeypatch, FakeEntryPoint("broken", error), FakeEntryPoint("builtin", [Blur]))
    assert list(registry) == ["Blur"]
    [problem] = registry.problems
    assert problem.startswith(f"nodes of 'broken_package:NODES' were left out: {type(error).__name__}")


def test_ctrl_c_while_a_package_is_imported_is_not_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        install(monkeypatch, FakeEntryPoint("slow", KeyboardInterrupt()))


def test_what_a_package_prints_is_reported_and_kept_off_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loud() -> list[type[Node]]:
        print("Loud nodes 1.0\nloaded")
        return [Blur]

    registry = install(monkeypatch, FakeEntryPoint("loud", loud))
    assert list(registry) == ["Blur"]
    assert registry.problems == [
        "nodes of 'loud_package:NODES' print when they are imported: \"Loud nodes 1.0 loaded\""
    ]
    assert capsys.readouterr().out == ""


def test_the_built_in_node_wins_a_name_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impostor(Node):
        class_type = "Blur"

        def run(self, ctx: Context) -> Nothing:
            return Nothing(done=True)

    registry = install(monkeypatch, FakeEntryPoint("a_first", [Impostor]), FakeEntryPoint("builtin", [Blur]))
    assert registry["Blur"] is Blur
    assert len(registry.problems) == 1
    assert "two node classes are called 'Blur'" in registry.problems[0]
