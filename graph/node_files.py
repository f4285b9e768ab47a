"""Node classes in a Python file that belongs to no installed package: ``run-graph --nodes FILE.py``."""

from __future__ import annotations

import itertools
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from run_graph.graph.faults import Fault, WorkflowError, raise_all, shorten
from run_graph.graph.node import Node
from run_graph.graph.registry import Registry
from run_graph.graph.third_party import captured_output, described, raise_if_interrupt

_PREFIX = "run_graph_file_"  # no file's module takes the name of another module


def with_node_files(registry: Registry, files: Iterable[str | Path]) -> Registry:
    """A registry with the node classes of these files too; the one that is given stays as it is.

    A file's classes are those that it defines, or those in its list ``NODES``. Its own digest is part of the
    keys of its results, as a package's is. What a file prints is reported in ``problems``.

    Raises
    ------
    WorkflowError, WorkflowErrors
        For each file that cannot be loaded, has no node class, or has one whose name is taken; names the file
        and, where it is known, the line.
    """
    extended = Registry(registry.values())
    extended.problems += registry.problems
    errors: list[WorkflowError] = []
    for file in dict.fromkeys(os.path.realpath(os.path.expanduser(each)) for each in files):
        try:
            _add(extended, Path(file))
        except WorkflowError as error:
            errors.append(error.in_file(file))
    raise_all(errors)
    return extended


def package_of(node_class: type[Node]) -> str:
    """The top-level package of a class or, if it comes from a single file, the path of that file."""
    package = node_class.__module__.partition(".")[0]
    file = getattr(sys.modules.get(package), "__file__", None)
    return file if package.startswith(_PREFIX) and file else package


def is_node_file(module: str) -> bool:
    """Whether a module of this name is such a file: another machine has no module of its name."""
    return module.startswith(_PREFIX)


def _add(registry: Registry, path: Path) -> None:
    if not path.is_file():
        fix = "Give the path of a Python file with node classes."
        raise _fault("file_not_found", "there is no such file", fix)
    try:
        with captured_output() as printed:
            module = _loaded(path)
            classes = list(getattr(module, "NODES", None) or _defined_in(module))
            for node_class in classes:
                registry.register(node_class)
    except BaseException as error:
        raise_if_interrupt(error)
        fix = "Correct the file, or install what it imports."
        raise _fault("bad_node_file", f"{_line_of(error, path)}{described(error)}", fix) from None
    if not classes:
        raise _fault(
            "no_nodes", "the file defines no node class", "Derive a class from run_graph.Node in it."
        )
    if text := " ".join(printed.getvalue().split()):
        registry.problems.append(f"{path} prints when it is loaded: {shorten(text)}")


def _loaded(path: Path) -> ModuleType:
    """The file's module; each file is run once in a process.

    It is compiled from its text: the compiled code that Python keeps is checked by size and time only.
    """
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # before it runs: its annotations are looked up there
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(path: Path) -> str:
    """A name that no other file has: the file's own, counted if another folder has a file of that name."""
    for number in itertools.count(1):
        name = f"{_PREFIX}{path.stem}" + (f"_{number}" if number > 1 else "")
        known = sys.modules.get(name)
        if known is None or known.__file__ == str(path):
            return name
    raise AssertionError  # count never ends


def _defined_in(module: ModuleType) -> list[type[Node]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Node) and value.__module__ == module.__name__
    ]


def _line_of(error: BaseException, path: Path) -> str:
    """``line 3: `` of the file; "" if the error is not in it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"line {error.lineno}: "
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"line {lines[-1]}: " if lines else ""


def _fault(code: str, message: str, fix: str) -> WorkflowError:
    return WorkflowError([Fault(code, message, fix)])
