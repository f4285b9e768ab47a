"""Versions of Python and of the packages that compute a result."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("run-graph", "mlx", "mflux")


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which a result mainly depends."""
    return {"python": platform.python_version(), **versions_of(_PACKAGES)}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package; "unknown" for a package that is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
