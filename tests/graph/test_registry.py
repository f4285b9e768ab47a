"""The registry: class_type -> class, and discovery through entry points."""

import pytest
from sample_nodes import REGISTRY, Blur, LoadPhoto, SavePhoto

from run_graph.graph import Context, Field, Node, Outputs, Registry, installed_nodes
from run_graph.graph import registry as registry_module


class Nothing(Outputs):
    done: bool


class FakeEntryPoint:
    """An installed package's announcement of its nodes."""

    def __init__(self, name: str, nodes: object) -> None:
        self.name = name
        self.value = f"{name}_package:NODES"
        self._nodes = nodes

    def load(self) -> object:
        if isinstance(self._nodes, Exception):
            raise self._nodes
        return self._nodes


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


def test_registering_works_as_a_decorator_and_twice_is_once() -> None:
    registry = Registry()
    assert registry.register(Blur) is Blur
    registry.register(Blur)
    assert len(registry) == 1


def test_two_classes_of_one_class_type_are_refused_naming_both() -> None:
    class Other(Node):
        class_type = "Blur"

        def run(self, ctx: Context) -> Nothing:
            return Nothing(done=True)

    with pytest.raises(
        ValueError, match=r"two node classes are called 'Blur': sample_nodes\.Blur and .*Other"
    ):
        Registry([Blur, Other])


def test_a_class_with_an_input_of_no_socket_type_is_refused_at_registration() -> None:
    class Odd(Node):
        x: list[int] = Field(description="No socket type.")

        def run(self, ctx: Context) -> Nothing:
            return Nothing(done=True)

    with pytest.raises(TypeError, match="no socket type"):
        Registry([Odd])


def test_producers_of_a_socket_type_are_listed() -> None:
    assert REGISTRY.producing("IMAGE") == ["LoadPhoto", "Blur", "Scale"]
    assert REGISTRY.producing("NOBODY") == []


def test_all_installed_packages_are_discovered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = install(
        monkeypatch, FakeEntryPoint("aaa", [SavePhoto]), FakeEntryPoint("builtin", [LoadPhoto, Blur])
    )
    assert list(registry) == ["LoadPhoto", "Blur", "SavePhoto"]
    assert registry.problems == []


def test_a_package_that_fails_to_load_does_not_take_the_others_down(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = install(
        monkeypatch, FakeEntryPoint("builtin", [Blur]), FakeEntryPoint("broken", ImportError("no such lib"))
    )
    assert list(registry) == ["Blur"]
    assert registry.problems == ["nodes of 'broken_package:NODES' were left out: ImportError: no such lib"]


def test_on_a_clash_of_names_the_built_in_node_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impostor(Node):
        class_type = "Blur"

        def run(self, ctx: Context) -> Nothing:
            return Nothing(done=True)

    registry = install(monkeypatch, FakeEntryPoint("a_first", [Impostor]), FakeEntryPoint("builtin", [Blur]))
    assert registry["Blur"] is Blur
    assert len(registry.problems) == 1
    assert "two node classes are called 'Blur'" in registry.problems[0]
