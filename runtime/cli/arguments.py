"""The command line of ``run-graph``: its parser, which makes the :class:`runtime.cli.options.Options`."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from run_graph.runtime.cli.cache_options import add_cache_arguments
from run_graph.runtime.cli.cluster_options import add_cluster_arguments
from run_graph.runtime.cli.combinations import check_combination
from run_graph.runtime.cli.completion import add_completion_argument
from run_graph.runtime.cli.memory_options import add_memory_arguments
from run_graph.runtime.cli.models_dir_option import add_models_dir_argument
from run_graph.runtime.cli.node_file_option import add_nodes_argument
from run_graph.runtime.cli.parser import CommandParser, path_argument
from run_graph.runtime.cli.permission_options import add_permission_arguments
from run_graph.runtime.cli.server_options import add_server_arguments

if TYPE_CHECKING:
    from run_graph.runtime.cli.options import Options

PRINTED_DRAWINGS = ("txt", "svg", "mmd")
_SMALLEST = 16 * 16  # pixels

_EXAMPLES = """\
examples:
  run-graph workflows/redux.json
  run-graph workflows/redux.json --set photo.image=cat.jpg --set smaller.mode=low
  run-graph workflows/redux.json --set prompt="a red car" --set seed=random
  run-graph workflows/redux.json --inputs
  run-graph workflows/redux.json --validate
  run-graph my-workflows picture.png --check
  run-graph workflows/redux.json --draw redux.svg
  run-graph output/redux_00001_.png --set sample.seed=2
  run-graph workflows/redux.json workflows/two_references.json
  run-graph workflows/redux.json --sweep smaller.mode=low,high --contact-sheet sheet.png
"""


def parse(argv: Sequence[str] | None) -> Options:
    """Parse the command line. If it is wrong, a message is printed and the process exits with code 2."""
    parser = build_parser()
    parsed = parser.parse_all(argv)
    # Imported here because --help and --version do without it.
    from run_graph.runtime.cli.namespace import from_namespace
    from run_graph.runtime.cli.options import Options

    options = from_namespace(Options, parsed)
    check_combination(options, parser)
    return options


def build_parser() -> CommandParser:
    """The parser; the name of each option's destination is a field of ``Options`` or of one of its groups."""
    parser = CommandParser(
        "run-graph",
        description="Run a workflow of typed nodes: FLUX.1 and Redux on MLX.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="workflow (JSON; - reads standard input), or a picture that contains one; several files run "
        "together, and stages that they share run once",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="replace an input of a node; NODE may be left out if only one has such an input; @FILE reads "
        "the text from a file, random chooses a seed; may be repeated",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=path_argument,
        default=Path("output"),
        metavar="DIR",
        help="output folder (default: output)",
    )
    parser.add_argument(
        "--target",
        dest="targets",
        action="append",
        default=[],
        metavar="NODE",
        help="run only this node and those it depends on; may be repeated (default: all output nodes)",
    )
    add_nodes_argument(parser)
    parser.add_argument(
        "--offline",
        action="store_true",
        help="do not use the network: a model that is neither local nor cached is an error",
    )
    add_models_dir_argument(parser)
    add_permission_arguments(parser)
    _add_trial(parser)
    _add_many(parser)
    _add_memory(parser)
    add_cluster_arguments(parser)
    add_server_arguments(parser)
    add_cache_arguments(parser)
    _add_reporting(parser)
    _add_actions(parser)
    return parser


def _add_trial(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("trying a workflow quickly")
    group.add_argument(
        "--model",
        choices=["tiny"],
        help="run every workflow on the built-in model in place of its own; LoRAs are left out",
    )
    group.add_argument(
        "--max-pixels",
        type=_pixels,
        metavar="N",
        help="make pictures smaller that would have more pixels, such as 65536 for 256 x 256",
    )


def _pixels(text: str) -> int:
    if not re.fullmatch("[0-9]{3,12}", text) or int(text) < _SMALLEST:
        raise ArgumentTypeError(f"{text!r} is not a whole number of pixels, {_SMALLEST} or more")
    return int(text)


def _add_many(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("many pictures in one run")
    group.add_argument(
        "--sweep",
        dest="sweeps",
        action="append",
        default=[],
        metavar="NODE.INPUT=V1,V2,...",
        help="run with each of these values (1..4 for whole numbers, 'refs/*.jpg' or a folder for pictures, "
        "@FILE for a file with one value a line, a JSON list for texts that contain commas); if repeated, "
        "with every combination",
    )
    group.add_argument(
        "--zip",
        dest="zipped",
        action="store_true",
        help="pair the values of the sweeps one by one instead of combining them",
    )
    group.add_argument(
        "--contact-sheet",
        type=path_argument,
        metavar="FILE.png",
        help="write one picture with all pictures of the run in a labelled grid",
    )


def _add_memory(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("memory")
    add_memory_arguments(group)
    group.add_argument(
        "--memory-report",
        action="store_true",
        help="at the end, print to standard error which models were in memory when",
    )


def _add_reporting(parser: ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quiet", "-q", action="store_true", help="print only paths and errors")
    how.add_argument("--json", action="store_true", help="print every event as one line of JSON")
    parser.add_argument(
        "--verbose",
        "-v",
        action="store_true",
        help="tell each stage's key, memory and where its result came from; log details; implies --traceback",
    )
    parser.add_argument(
        "--traceback", action="store_true", help="if a node fails, show where in the code it failed"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail where a warning would be printed, such as on a long prompt",
    )
    parser.add_argument("--version", action="version", version=f"run-graph {version('run-graph')}")
    add_completion_argument(parser)


def _add_actions(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("instead of running")
    group.add_argument(
        "--validate", action="store_true", help="report all faults of the workflow; loads no model code"
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="say of each file, and of all in a folder, whether it can run, and what it lacks",
    )
    group.add_argument(
        "--inputs",
        action="store_true",
        help="list what --set and --sweep can set: type, range or choices, and present value",
    )
    group.add_argument(
        "--draw",
        type=path_argument,
        metavar="FILE",
        help="draw the graph as .svg, .png, .mmd (Mermaid) or .txt; - prints it",
    )
    group.add_argument("--draw-format", choices=PRINTED_DRAWINGS, help="what --draw - prints (default: txt)")
    group.add_argument(
        "--example",
        nargs="*",
        metavar=("NAME", "DIR"),
        help="write an example workflow and its pictures to a folder (default: the present one); without a "
        "name, list the examples",
    )
    group.add_argument(
        "--convert",
        type=path_argument,
        metavar="FILE.json",
        help="write the workflow in ComfyUI's API format, which is also run-graph's: from ComfyUI's editor, "
        "a picture, or any file that can be read",
    )
    group.add_argument(
        "--export-ui",
        type=path_argument,
        metavar="FILE.json",
        help="write the workflow as a file of ComfyUI's editor, laid out as --draw draws it",
    )
    group.add_argument(
        "--export-comfyui",
        type=path_argument,
        metavar="FILE.json",
        help="the same with ComfyUI's nodes in place of run-graph's own; names what has no equivalent",
    )
    group.add_argument(
        "--save-model",
        type=path_argument,
        metavar="DIR",
        help="write the models that the workflow's loaders choose into a new folder, as mflux-save does: "
        "quantised once, loaded many times; without a file, the one that --set flux.model=... "
        "--set flux.quantize=4 names",
    )
    group.add_argument(
        "--cache-info", action="store_true", help="show how many results of earlier runs are kept, and where"
    )
    group.add_argument("--cache-clear", action="store_true", help="remove all results of earlier runs")
    group.add_argument(
        "--models",
        dest="list_models",
        action="store_true",
        help="list the model files that were found: what they hold, for which models, how stored",
    )
    group.add_argument(
        "--doctor",
        action="store_true",
        help="examine this machine: does the built-in model give its stored results, how fast is it, which "
        "models are here and fit; exit code 1 if something is off",
    )
    group.add_argument(
        "--list-nodes", action="store_true", help="list all node classes, with --json as ComfyUI does"
    )
    group.add_argument("--describe", metavar="CLASS", help="describe a node class")
    group.add_argument("--schema", action="store_true", help="print the JSON Schema of workflow files")
