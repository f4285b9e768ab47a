"""Where run-graph keeps what it may need again, and where its own files are."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path


def results_folder() -> Path:
    """The folder of results: the environment variable ``RUN_GRAPH_RESULTS``, or else in the user's cache."""
    override = os.environ.get("RUN_GRAPH_RESULTS")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("run-graph", appauthor=False) / "results"


def example_folder() -> Path:
    """Where the example workflows are; in a checkout a link to ``workflows/``."""
    return Path(str(files("run_graph"))) / "workflows"
