"""The options of the command lines that choose a cache."""

from __future__ import annotations

from argparse import ArgumentParser


def add_cache_arguments(parser: ArgumentParser) -> None:
    """``--no-cache`` and ``--cache-dir``, which :func:`runtime.cache.open.chosen_cache` reads."""
    group = parser.add_argument_group("results of earlier runs")
    group.add_argument(
        "--no-cache", action="store_true", help="use no results of earlier runs, and keep none"
    )
    group.add_argument(
        "--cache-dir",
        metavar="DIR",
        help="where results are kept (default: $RUN_GRAPH_RESULTS, or a folder of the user's cache)",
    )
