"""A digest of a package's source code: results computed by different code get different keys."""

from __future__ import annotations

import hashlib
import secrets
import sys
from functools import cache
from pathlib import Path

_OWN_PACKAGE = "run_graph"


def source_digest(module: str) -> str:
    """A digest of the source files of the package that a module belongs to.

    The package is the top-level one. Within run-graph it is the folder below (``run_graph.nodes``), so that
    a change elsewhere in run-graph does not invalidate the results of its nodes. The digest is the same in
    every process that runs the same code. Code without a source file, such as code typed at a prompt, gets
    a digest that is valid only in this process.
    """
    top, *inner = module.split(".")
    return _digest(f"{top}.{inner[0]}" if top == _OWN_PACKAGE and inner else top)


@cache
def _digest(package: str) -> str:
    total = hashlib.sha256()
    found = _sources(package)
    for name, path in found:
        total.update(f"{name}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:16] if found else secrets.token_hex(8)


def _sources(package: str) -> list[tuple[str, Path]]:
    """Name and path of each source file of a package, sorted; a single module has one.

    Symbolic links are resolved first: in a checkout ``run_graph/nodes`` is one, and ``rglob`` does not
    follow them.
    """
    module = sys.modules.get(package)
    folders = [Path(folder).resolve() for folder in getattr(module, "__path__", ())]
    if folders:
        paths = [
            (path.relative_to(folder).as_posix(), path) for folder in folders for path in folder.rglob("*.py")
        ]
        return sorted(paths)
    file = getattr(module, "__file__", None)
    return [(package, Path(file))] if file is not None and Path(file).is_file() else []
