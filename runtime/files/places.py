"""Where run-graph keeps what it may need again."""

from __future__ import annotations

import os
from pathlib import Path


def results_folder() -> Path:
    """The folder of results: the environment variable ``RUN_GRAPH_RESULTS``, or else in the user's cache."""
    override = os.environ.get("RUN_GRAPH_RESULTS")
    if override:
        return Path(override).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("run-graph", appauthor=False) / "results"
