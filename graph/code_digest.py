"""Which code computes: a digest of a package's sources, so that results of other code are told apart."""

from __future__ import annotations

import hashlib
import secrets
import sys
from functools import cache
from pathlib import Path

_OWN_PACKAGE = "run_graph"


def source_digest(module: str) -> str:
    """A digest of the sources of the package that a module belongs to.

    That is its top-level package; in run-graph itself the room (``run_graph.nodes``), so that another node
    does not change the results of an older engine. The same in every process that runs the same code. Code
    that lies in no file, such as what is typed in at a prompt, is known in this process only.
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
    """Names and places of a package's files with code; of a single module, its one file.

    Links are resolved first: in a checkout ``run_graph/nodes`` is a link, and ``rglob`` enters none.
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
