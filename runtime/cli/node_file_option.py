"""``--nodes``: node classes from Python files."""

from argparse import ArgumentParser


def add_nodes_argument(parser: ArgumentParser) -> None:
    """Add ``--nodes``, a list of file names."""
    parser.add_argument(
        "--nodes",
        dest="node_files",
        action="append",
        default=[],
        metavar="FILE.py",
        help="use the node classes in this Python file too; may be repeated",
    )
