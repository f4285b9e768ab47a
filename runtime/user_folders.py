"""Folders of the user that run-graph keeps things in."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """For what can be made again: as the environment variable ``RUN_GRAPH_CACHE`` says, or the system."""
    override = os.environ.get("RUN_GRAPH_CACHE")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("run-graph", appauthor=False)


def results_directory() -> Path:
    """For results: as the environment variable ``RUN_GRAPH_RESULTS`` says, or in the user's cache."""
    override = os.environ.get("RUN_GRAPH_RESULTS")
    return Path(override).expanduser() if override else cache_directory() / "results"
