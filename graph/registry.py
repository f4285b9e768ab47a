"""The known node classes by class_type. Built-in and third-party nodes are found by entry points alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from run_graph.graph.declaration import inputs_of, outputs_of
from run_graph.graph.faults import shorten
from run_graph.graph.forwarding import forwarded_inputs
from run_graph.graph.node import Node
from run_graph.graph.third_party import captured_output, described, raise_if_interrupt

ENTRY_POINT_GROUP = "run_graph.nodes"


class Registry(Mapping[str, type[Node]]):
    """Node classes by class_type.

    Attributes
    ----------
    problems : list of str
        One message for each package whose nodes could not be loaded; the other nodes are usable.
    """

    def __init__(self, classes: Iterable[type[Node]] = ()) -> None:
        self._classes: dict[str, type[Node]] = {}
        self.problems: list[str] = []
        for node_class in classes:
            self.register(node_class)

    def register(self, node_class: type[Node]) -> type[Node]:
        """Add a class; usable as a decorator.

        Raises
        ------
        TypeError
            If an annotation has no socket type, ``run`` is not annotated with its outputs, or an output
            forwards what is not an input (:mod:`graph.forwarding`).
        ValueError
            If another class has the same class_type.
        """
        inputs_of(node_class)
        outputs_of(node_class)
        forwarded_inputs(node_class)
        known = self._classes.setdefault(node_class.class_type, node_class)
        if known is not node_class:
            raise ValueError(
                f"two node classes are called {node_class.class_type!r}: "
                f"{known.__module__}.{known.__qualname__} and "
                f"{node_class.__module__}.{node_class.__qualname__}; give one of them another class_type"
            )
        return node_class

    def __getitem__(self, class_type: str) -> type[Node]:
        return self._classes[class_type]

    def __contains__(self, class_type: object) -> bool:
        return class_type in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def producing(self, socket: str) -> list[str]:
        """The class_types that have an output of exactly this socket type."""
        return [
            name
            for name, cls in self._classes.items()
            if any(out.socket == socket for out in outputs_of(cls))
        ]


@cache
def installed_nodes() -> Registry:
    """The registry of all installed node packages (entry-point group ``run_graph.nodes``).

    An entry point refers to a list of node classes. A package that fails to load is reported in
    ``problems``; the others are loaded all the same. What a package prints when it is imported is reported
    there too, and does not reach standard output.
    """
    registry = Registry()
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=_builtin_first):
        with captured_output() as printed:
            try:
                for node_class in entry.load():
                    registry.register(node_class)
            except BaseException as error:
                raise_if_interrupt(error)
                registry.problems.append(f"nodes of {entry.value!r} were left out: {described(error)}")
        if text := " ".join(printed.getvalue().split()):
            registry.problems.append(
                f"nodes of {entry.value!r} print when they are imported: {shorten(text)}"
            )
    return registry


def _builtin_first(entry: EntryPoint) -> tuple[bool, str]:
    """Built-in nodes first, so that they win if two classes have the same name."""
    return (entry.name != "builtin", entry.name)
