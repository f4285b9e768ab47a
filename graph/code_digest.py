"""Which code computes: a digest of a package and its local imports, to tell results of other code apart."""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import secrets
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_OWN_PACKAGE = "run_graph"
_NOT_CODE = {".pyc", ".pyo"}
_READ_WHOLE = 16 * 2**20  # bytes; of a larger file size and time count


def source_digest(module: str) -> str:
    """A digest of the files of the package that a module belongs to, and of local modules that it imports.

    The package is the top-level one; in run-graph itself the room (``run_graph.nodes``), so that another node
    does not change the results of an older engine. Of another package every file counts, data files too; so
    do modules that it imports from elsewhere on the path, unless they are installed: those have versions.
    The same in every process that runs the same code. Code that is in no file, such as what is typed in at a
    prompt, is known in this process only.
    """
    top, *inner = module.split(".")
    return _digest(f"{top}.{inner[0]}" if top == _OWN_PACKAGE and inner else top)


@cache
def _digest(package: str) -> str:
    total = hashlib.sha256()
    found = _sources(package)
    for name, path in found:
        status = path.stat()
        total.update(f"{name}\0{status.st_size}\0".encode())
        # Weights that a package brings along would take seconds to read at each start.
        large = status.st_size > _READ_WHOLE
        total.update(f"{status.st_mtime_ns}".encode() if large else path.read_bytes())
    return total.hexdigest()[:16] if found else secrets.token_hex(8)


def _sources(package: str) -> list[tuple[str, Path]]:
    """Names and places of the files that count, in a fixed order."""
    if package.startswith(f"{_OWN_PACKAGE}."):
        return [item for item in _files_of(package) if item[1].suffix == ".py"]
    found: dict[str, list[tuple[str, Path]]] = {}
    pending = [package]
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = _files_of(name)
            pending += sorted(_local_imports(found[name]))
    return [(f"{name}/{file}", path) for name in sorted(found) for file, path in found[name]]


def _files_of(package: str) -> list[tuple[str, Path]]:
    """The files of a package; of a single module, its one file.

    Links are resolved first: in a checkout ``run_graph/nodes`` is a link, and ``rglob`` enters none.
    """
    folders, file = _place_of(package)
    if folders:
        paths = [
            (path.relative_to(folder).as_posix(), path)
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in _NOT_CODE and not _is_hidden(path.relative_to(folder))
        ]
        return sorted(paths)
    return [(package, file)] if file is not None and file.is_file() else []


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _place_of(package: str) -> tuple[list[Path], Path | None]:
    """The folders of a package, or the file of a module. What is loaded already is not looked up again."""
    module = sys.modules.get(package)
    if module is not None:
        folders = [Path(folder).resolve() for folder in getattr(module, "__path__", ())]
        file = getattr(module, "__file__", None)
        return folders, None if file is None else Path(file)
    spec = _spec_of(package)
    if spec is None:
        return [], None
    folders = [Path(folder).resolve() for folder in spec.submodule_search_locations or ()]
    return folders, Path(spec.origin) if spec.has_location and spec.origin else None


def _spec_of(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _local_imports(files: list[tuple[str, Path]]) -> Iterator[str]:
    """The top-level modules that these files import and that are neither installed nor run-graph."""
    for name in {each for _, path in files if path.suffix == ".py" for each in _imports(path)}:
        if name != _OWN_PACKAGE and name not in sys.stdlib_module_names and _is_local(name):
            yield name


def _imports(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _is_local(name: str) -> bool:
    folders, file = _place_of(name)
    place = folders[0] if folders else file
    return place is not None and not any(place.resolve().is_relative_to(folder) for folder in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    """Where installed packages and the standard library are."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [sysconfig.get_paths()[name] for name in names]
    return tuple(
        Path(place).resolve() for place in [*places, *site.getsitepackages(), site.getusersitepackages()]
    )
