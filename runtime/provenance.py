"""What a run says of itself to those who write files: the graph as run, timings, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from graph.workflow import Workflow
from runtime.context import Surroundings

_PACKAGES = ("run-graph", "mlx", "mflux")


def describe_run(workflow: Workflow, surroundings: Surroundings, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Plain JSON values for an output file's metadata.

    Returns
    -------
    dict
        ``prompt``: the graph as run, API format, every parameter written out;
        ``seconds``: seconds of each stage that has finished, by node id;
        ``versions``: of run-graph, mlx, mflux and Python;
        ``input_directories``: where inputs were sought, relative to the output folder, so that the file
        tells nothing about the rest of the disk and a project can be moved as a whole.
    """
    return {
        "prompt": workflow.to_json(),
        "seconds": {node_id: round(value, 4) for node_id, value in seconds.items()},
        "versions": versions(),
        "input_directories": [
            _relative(str(folder), str(surroundings.output_directory))
            for folder in surroundings.input_directories
        ],
    }


@cache
def versions() -> dict[str, str]:
    """Versions of what computed a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _relative(folder: str, start: str) -> str:
    try:
        return os.path.relpath(folder, start)
    except ValueError:  # another drive on Windows
        return os.path.abspath(folder)
