"""The options of both commands that allow a workflow from a picture more than its bounds."""

from __future__ import annotations

from argparse import ArgumentParser

from run_graph.runtime.cli.parser import path_argument


def add_permission_arguments(parser: ArgumentParser) -> None:
    """Add ``--allow-read`` and ``--allow-download``."""
    group = parser.add_argument_group(
        "what a workflow that comes in a picture may do",
        "It may read files in the picture's folder and in the working directory, and use models that are "
        "already on this machine. For more you are asked, or, without a terminal, need these options.",
    )
    group.add_argument(
        "--allow-read",
        action="append",
        default=[],
        type=path_argument,
        metavar="DIR",
        help="let it also read files in this folder; may be repeated",
    )
    group.add_argument("--allow-download", action="store_true", help="let it download models")
