"""The options of three commands that bound the memory of models."""

from __future__ import annotations

from argparse import _ActionsContainer

from run_graph.runtime.cli.parser import size_argument


def add_memory_arguments(group: _ActionsContainer) -> None:
    """Add ``--memory-limit`` and ``--low-ram``."""
    group.add_argument(
        "--memory-limit",
        type=size_argument,
        metavar="SIZE",
        help="the most memory that weights may use, such as 8GB (default: what the machine can spare)",
    )
    group.add_argument(
        "--low-ram",
        action="store_true",
        help="hold one model at a time, and only for as long as it is needed",
    )
