"""The options of both commands that choose a cache."""

from __future__ import annotations

from argparse import ArgumentParser

from run_graph.runtime.cli.parser import text_argument


def add_cache_arguments(parser: ArgumentParser) -> None:
    """Add ``--no-cache`` and ``--cache-dir``: the fields of :class:`runtime.cli.options.CacheOptions`."""
    group = parser.add_argument_group("results of earlier runs")
    group.add_argument(
        "--no-cache", action="store_true", help="neither use results of earlier runs nor keep any"
    )
    group.add_argument(
        "--cache-dir",
        type=text_argument,
        metavar="DIR",
        help="where results are kept (default: $RUN_GRAPH_RESULTS, or a folder in the user's cache)",
    )
