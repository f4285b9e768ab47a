"""A class in a family module is a built-in node, and nothing else is."""

import importlib
import pkgutil

import run_graph.nodes as package
from run_graph.graph import Node
from run_graph.nodes import NODES


def defined() -> set[type[Node]]:
    """The node classes whose code is in a module of the package; not bases, whose names begin with _."""
    for module in pkgutil.walk_packages(package.__path__, "run_graph.nodes."):
        importlib.import_module(module.name)
    pending, found = [Node], set()
    while pending:
        subclasses = pending.pop().__subclasses__()
        pending += subclasses
        found |= {each for each in subclasses if each.__module__.startswith("run_graph.nodes.")}
    return {each for each in found if not each.__name__.startswith("_")}


def test_nodes_are_the_classes_that_the_family_modules_define() -> None:
    assert set(NODES) == defined()
    assert len(NODES) == len(set(NODES))


def test_every_node_can_be_imported_from_the_package() -> None:
    assert [getattr(package, node.__name__) for node in NODES] == NODES


def test_families_follow_one_another_from_picture_to_picture() -> None:
    own = [node.__module__.removeprefix("run_graph.nodes.") for node in NODES]
    modules = list(dict.fromkeys(module for module in own if not module.startswith("comfyui.")))
    families = ["image", "loaders", "lora", "model_saving", "vision", "redux", "text", "translate", "flux"]
    assert modules == families
