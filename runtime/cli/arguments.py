"""The command line of ``run-graph``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import version

from run_graph.runtime.cli.cache_options import add_cache_arguments
from run_graph.runtime.units import parse_bytes

DRAWING_SUFFIXES = (".svg", ".png", ".mmd", ".txt")

_EXAMPLES = """\
examples:
  run-graph workflows/redux.json
  run-graph workflows/redux.json --set photo.image=cat.jpg --set smaller.mode=low
  run-graph workflows/redux.json --validate
  run-graph workflows/redux.json --draw redux.svg
  run-graph output/redux_00001_.png --set sample.seed=2
  run-graph workflows/redux.json workflows/two_references.json
  run-graph workflows/redux.json --sweep smaller.mode=low,high --contact-sheet sheet.png
"""


def parse(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line; a wrong one ends the process with code 2 and a message."""
    parser = _parser()
    arguments = parser.parse_intermixed_args(argv)  # options may stand between the files
    asks_about_nodes = arguments.list_nodes or arguments.describe or arguments.schema
    asks_about_cache = arguments.cache_info or arguments.cache_clear
    if not arguments.files and not (asks_about_nodes or asks_about_cache):
        parser.error("name a workflow file, such as workflows/redux.json")
    if len(arguments.files) > 1 and (arguments.draw or arguments.contact_sheet):
        option = "--draw" if arguments.draw else "--contact-sheet"
        parser.error(f"{option} takes one workflow, and {len(arguments.files)} are named; run it for each")
    if arguments.zip and len(arguments.sweep) < 2:
        parser.error("--zip pairs the values of two --sweep or more")
    if arguments.contact_sheet and not arguments.contact_sheet.lower().endswith(".png"):
        parser.error(f"--contact-sheet writes .png, not {arguments.contact_sheet!r}")
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
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="workflow (JSON), or a picture that carries one; several run together, what they share once",
    )
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
    parser.add_argument(
        "--offline",
        action="store_true",
        help="never ask the network: models are local or cached, or an error",
    )
    _add_many(parser)
    _add_memory(parser)
    add_cache_arguments(parser)
    _add_reporting(parser)
    _add_questions(parser)
    return parser


def _add_many(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("many pictures in one run")
    group.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NODE.INPUT=V1,V2,...",
        help="run with each of these values (1..4 for numbers, a JSON list for texts with commas); "
        "if repeated, with each combination",
    )
    group.add_argument("--zip", action="store_true", help="pair the values of the sweeps one by one instead")
    group.add_argument("--contact-sheet", metavar="FILE.png", help="lay the pictures out in a labelled grid")


def _add_memory(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("memory")
    group.add_argument(
        "--memory-limit",
        type=_amount,
        metavar="SIZE",
        help="most memory for weights, such as 8GB (default: what the machine can spare)",
    )
    group.add_argument(
        "--low-ram", action="store_true", help="hold one model at a time, and only as long as it is needed"
    )
    group.add_argument(
        "--memory-report",
        action="store_true",
        help="at the end, tell what was in memory when, on standard error",
    )


def _amount(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


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
    group.add_argument("--cache-info", action="store_true", help="tell what is kept of earlier runs")
    group.add_argument("--cache-clear", action="store_true", help="remove what is kept of earlier runs")
    group.add_argument("--list-nodes", action="store_true", help="list all node classes")
    group.add_argument("--describe", metavar="CLASS", help="describe a node class")
    group.add_argument("--schema", action="store_true", help="print the JSON Schema of workflow files")
