"""The command line of ``run-graph``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import version

DRAWING_SUFFIXES = (".svg", ".png", ".mmd", ".txt")

_EXAMPLES = """\
examples:
  run-graph workflows/redux.json
  run-graph workflows/redux.json --set photo.image=cat.jpg --set smaller.mode=low
  run-graph workflows/redux.json --validate
  run-graph workflows/redux.json --draw redux.svg
  run-graph output/redux_00001_.png --set sample.seed=2
"""


def parse(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line; a wrong one ends the process with code 2 and a message."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    asks_about_nodes = arguments.list_nodes or arguments.describe or arguments.schema
    if arguments.file is None and not asks_about_nodes:
        parser.error("name a workflow file, such as workflows/redux.json")
    if arguments.draw and not arguments.draw.lower().endswith(DRAWING_SUFFIXES):
        parser.error(f"--draw writes {', '.join(DRAWING_SUFFIXES)}, not {arguments.draw!r}")
    return arguments


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "run-graph",
        description="Run a workflow of typed nodes: FLUX.1 and Redux on MLX.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", help="workflow (JSON), or a picture that carries one")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="replace an input of a node; may be repeated",
    )
    parser.add_argument("--output", default="output", metavar="DIR", help="output folder (default: output)")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NODE",
        help="run only this node and what it needs; may be repeated (default: all output nodes)",
    )
    _add_reporting(parser)
    _add_questions(parser)
    return parser


def _add_reporting(parser: ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quiet", action="store_true", help="print nothing but errors")
    how.add_argument("--json", action="store_true", help="print every event as a line of JSON")
    parser.add_argument("--traceback", action="store_true", help="if a node fails, show where in the code")
    parser.add_argument("--version", action="version", version=f"run-graph {version('run-graph')}")


def _add_questions(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("instead of running")
    group.add_argument("--validate", action="store_true", help="report all faults; load no model code")
    group.add_argument("--draw", metavar="FILE", help="draw the graph: .svg, .png, .mmd (mermaid) or .txt")
    group.add_argument("--list-nodes", action="store_true", help="list all node classes")
    group.add_argument("--describe", metavar="CLASS", help="describe a node class")
    group.add_argument("--schema", action="store_true", help="print the JSON Schema of workflow files")
