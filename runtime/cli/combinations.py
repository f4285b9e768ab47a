"""Which options of ``run-graph`` fit together, and which files they write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from run_graph.runtime.cli.cluster_options import check_machines
from run_graph.runtime.cli.parser import CommandParser
from run_graph.runtime.cli.server_options import check_server

if TYPE_CHECKING:
    from run_graph.runtime.cli.options import ActionOptions, Options

DRAWING_SUFFIXES = (".svg", ".png", ".mmd", ".txt")
STANDARD_OUTPUT = Path("-")


def check_combination(options: Options, parser: CommandParser) -> None:
    """Refuse options that do not fit together: a message is printed, and the process exits with code 2."""
    actions, nodes, sheet = options.actions, options.nodes, options.contact_sheet
    if not options.files and actions.needs_workflow:
        parser.error("name a workflow file, such as workflows/redux.json")
    if options.files.count("-") > 1:
        parser.error("- is standard input, which can be read only once")
    for option, path in _options_for_one_file(options):
        if path and len(options.files) > 1:
            parser.error(
                f"{option} takes one workflow, but {len(options.files)} were given; run it once for each"
            )
    if nodes.zipped and len(nodes.sweeps) < 2:
        parser.error("--zip pairs the values of several sweeps; give at least two --sweep options")
    if actions.check and (nodes.settings or nodes.sweeps or nodes.targets):
        parser.error("--check is about files as they are; leave out --set, --sweep and --target")
    if nodes.sweeps and actions.inputs:
        parser.error("--inputs lists the inputs of the workflow as it is; leave out --sweep")
    if sheet and not sheet.name.lower().endswith(".png"):
        parser.error(f"--contact-sheet writes .png, not {str(sheet)!r}")
    check_machines(options.machines, parser)
    check_server(options, parser)
    if options.reporting.quiet and options.reporting.verbose:
        parser.error("--quiet: cannot be combined with --verbose; leave one of them out")
    if actions.example is not None and len(actions.example) > 2:
        parser.error("--example takes a name and a folder, such as --example redux my-folder")
    for option, path in _written_formats(actions):
        if path and path.suffix.lower() != ".json":
            parser.error(f"{option} writes .json, not {str(path)!r}")
    _check_drawing(actions, parser)


def _options_for_one_file(options: Options) -> Iterator[tuple[str, Path | None]]:
    """The options that write something about one workflow, with its path."""
    yield "--draw", options.actions.draw
    yield from _written_formats(options.actions)
    yield "--save-model", options.actions.save_model
    yield "--contact-sheet", options.contact_sheet


def _written_formats(actions: ActionOptions) -> Iterator[tuple[str, Path | None]]:
    yield "--convert", actions.convert
    yield "--export-ui", actions.export_ui
    yield "--export-comfyui", actions.export_comfyui


def _check_drawing(actions: ActionOptions, parser: CommandParser) -> None:
    to_output = actions.draw == STANDARD_OUTPUT
    if actions.draw_format and not to_output:
        parser.error("--draw-format is for --draw -; the suffix of a file says its format")
    if actions.draw and not to_output and actions.draw.suffix.lower() not in DRAWING_SUFFIXES:
        parser.error(
            f"--draw writes {', '.join(DRAWING_SUFFIXES)} (or - for standard output), "
            f"not {str(actions.draw)!r}"
        )
