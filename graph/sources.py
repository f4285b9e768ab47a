"""Which code computes: a digest of a package's sources, so that results of other code are told apart."""

from __future__ import annotations

import hashlib
import secrets
import sys
from functools import cache
from pathlib import Path


def source_digest(module: str) -> str:
    """A digest of the sources of the top-level package that a module belongs to.

    The same in every process that runs the same code. Code that lies in no file, such as what is typed in
    at a prompt, is known in this process only.
    """
    return _digest(module.partition(".")[0])


@cache
def _digest(package: str) -> str:
    total = hashlib.sha256()
    found = _sources(package)
    for name, path in found:
        total.update(f"{name}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()[:16] if found else secrets.token_hex(8)


def _sources(package: str) -> list[tuple[str, Path]]:
    """Names and places of a package's files with code; of a single module, its one file."""
    module = sys.modules.get(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    if folders:
        paths = [
            (path.relative_to(folder).as_posix(), path) for folder in folders for path in folder.rglob("*.py")
        ]
        return sorted(paths)
    file = getattr(module, "__file__", None)
    return [(package, Path(file))] if file is not None and Path(file).is_file() else []
