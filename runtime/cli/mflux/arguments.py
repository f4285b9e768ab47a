"""The parser of ``mflux-generate-redux-advanced``, with the spellings of mflux 0.10 and 0.24.

Names, aliases and meanings are those of mflux's ``CommandLineParser`` and of the advanced-Redux branch of
mflux 0.10. A setting that is not given is None, so that a recorded one can take its place.
"""

from __future__ import annotations

from argparse import (
    ArgumentParser,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
    _ArgumentGroup,
)
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from run_graph.graph.declaration import InputSpec
from run_graph.runtime.cli.cache_options import add_cache_arguments
from run_graph.runtime.cli.completion import add_completion_argument
from run_graph.runtime.cli.mflux.argument_types import (
    finite,
    integer,
    percentage,
    positive,
    positive_integer,
    seed,
    side,
    tile_size,
)
from run_graph.runtime.cli.mflux.flags import Flags
from run_graph.runtime.cli.namespace import from_namespace
from run_graph.runtime.cli.parser import CommandParser, path_argument
from run_graph.runtime.cli.permission_options import add_permission_arguments
from run_graph.runtime.formats.mflux.parameters import flag_parameters
from run_graph.runtime.images.choices import KERNELS
from run_graph.runtime.models.components import QUANTIZE_BITS
from run_graph.runtime.networks.token_counts import MODES

PROGRAM = "mflux-generate-redux-advanced"
LORA_REPOSITORY = "ali-vilab/In-Context-LoRA"  # where mflux finds the LoRAs that it names by a style
FITS = ("stretch", "crop", "pad")
BATTERY_LIMIT = 5

_EXAMPLES = f"""\
examples:
  {PROGRAM} --prompt "an oil painting" --redux-image-paths photo.jpg --redux-mode low
  {PROGRAM} --prompt "" --redux-image-paths a.jpg b.jpg --redux-image-strengths 1 0.5 --seed 1 2 3
  {PROGRAM} --prompt "" --redux-image-paths a.jpg b.jpg --redux-mode high low
  {PROGRAM} --config-from-metadata old.png --redux-mode high
  {PROGRAM} --model tiny --prompt "a try" --width 96 --height 96
"""


def parse(argv: Sequence[str] | None) -> Flags:
    """Parse the command line. If it is wrong, a message is printed and the process exits with code 2."""
    parsed = build_parser().parse_all(argv)
    parsed.parameters = _declared_parameters(parsed)
    return from_namespace(Flags, parsed)


def build_parser() -> CommandParser:
    """The parser. Each flag is a field of one of the groups of :class:`runtime.cli.mflux.flags.Flags`, or an
    entry of its sampling parameters.
    """
    parser = CommandParser(
        PROGRAM,
        usage=f"{PROGRAM} --prompt TEXT [--redux-image-paths FILE ...] [options]",
        description="Draw pictures with FLUX.1 from a prompt and reference pictures (Redux), as a run-graph "
        "workflow. Accepts mflux's flags.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,  # as in mflux 0.24: an abbreviation breaks when a new flag begins like it
    )
    parser.add_argument("--version", action="version", version=f"run-graph {version('run-graph')}")
    add_completion_argument(parser)
    parser.add_argument(
        "--verbose", "-v", action="store_true", help="log details; show where in the code a stage failed"
    )
    _add_prompt(parser)
    _add_redux(parser)
    _add_model(parser)
    _add_loras(parser)
    _add_sampling(parser)
    _add_output(parser)
    _add_machine(parser)
    add_permission_arguments(parser)
    add_cache_arguments(parser)
    return parser


def _add_prompt(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("prompt").add_mutually_exclusive_group()
    group.add_argument(
        "--prompt",
        metavar="TEXT",
        help='what to draw; often "" (none) with Redux; - reads the prompt from standard input',
    )
    group.add_argument(
        "--prompt-file", type=path_argument, metavar="FILE", help="file that contains the prompt"
    )
    parser.add_argument("--negative-prompt", metavar="TEXT", help="refused: FLUX.1 has no negative prompt")


def _add_redux(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("reference pictures")
    group.add_argument("--redux-image-paths", nargs="*", metavar="FILE", help="reference pictures")
    group.add_argument(
        "--redux-image-strengths",
        nargs="*",
        type=finite,
        metavar="S",
        help="factor on the tokens of each picture, 0..1 (default: 1)",
    )
    group.add_argument(
        "--redux-mode",
        nargs="+",
        choices=tuple(MODES),
        help="how strongly the pictures count compared with the prompt: one for all, or one for each picture "
        "(default: medium)",
    )
    group.add_argument(
        "--interpolation-mode",
        nargs="+",
        choices=KERNELS,
        help="how their token grids are reduced: one for all, or one for each picture (default: area)",
    )
    group.add_argument(
        "--redux-fit",
        nargs="+",
        choices=FITS,
        help="how they are made square: one for all, or one for each picture (default: stretch; ComfyUI uses "
        "crop)",
    )


def _add_model(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", "-m", help="dev (default), schnell, krea-dev, tiny, a repository or a folder"
    )
    group.add_argument("--path", metavar="FOLDER", help="read the weights of --model from this folder")
    group.add_argument(
        "--base-model", metavar="MODEL", help="the model that --model is derived from: dev, schnell, ..."
    )
    group.add_argument(
        "--redux-model",
        metavar="MODEL",
        help="where SigLIP and Redux come from (default: the model's folder if it has them, else dev-redux)",
    )
    group.add_argument("--quantize", "-q", type=int, choices=QUANTIZE_BITS, help="bits per weight")


def _add_loras(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("LoRA")
    group.add_argument(
        "--lora",
        action="append",
        nargs="+",
        metavar=("PATH", "SCALE"),
        help="a LoRA file or repository, and its scale (default: 1); may be repeated",
    )
    group.add_argument("--lora-paths", nargs="*", metavar="PATH", help="all LoRAs in one flag instead")
    group.add_argument(
        "--lora-scales", nargs="*", type=finite, metavar="SCALE", help="the scales of --lora-paths"
    )
    group.add_argument("--lora-style", metavar="NAME", help=f"one of the LoRAs in {LORA_REPOSITORY}")
    group.add_argument("--lora-name", metavar="FILE", help="a LoRA file in --lora-repo-id")
    group.add_argument("--lora-repo-id", metavar="REPO", help=f"default: {LORA_REPOSITORY}")
    group.add_argument(
        "--bake-lora",
        action=BooleanOptionalAction,
        default=None,
        help="refused: LoRAs are never merged into the weights; --no-bake-lora is accepted",
    )


def _add_sampling(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--seed", type=seed, nargs="+", metavar="N", help="one picture for each seed (default: the time)"
    )
    group.add_argument(
        "--auto-seeds", type=positive_integer, metavar="N", help="N pictures with random seeds"
    )
    group.add_argument(
        "--steps", type=positive_integer, help="sampling steps (default: 25; schnell 4, tiny 8)"
    )
    group.add_argument("--guidance", type=finite, help="guidance scale (default: 3.5)")
    group.add_argument("--width", type=side, help="pixels, rounded down to a multiple of 16 (default: 1024)")
    group.add_argument("--height", type=side, help="as --width")
    group.add_argument("--scheduler", metavar="NAME", help="refused unless linear: see --schedule")
    for name, spec in flag_parameters().items():
        _add_parameter(group, name, spec)


def _add_parameter(group: _ArgumentGroup, name: str, spec: InputSpec) -> None:
    """Add the flag of a parameter that mflux has no flag for, from the declaration of its node."""
    types: dict[str, Callable[[str], Any]] = {"INT": integer, "FLOAT": finite}
    group.add_argument(
        f"--{name.replace('_', '-')}",
        type=types.get(spec.socket, str),
        choices=spec.options or None,
        metavar=None if spec.options else "X",
        help=f"{spec.description} (default: {spec.default})".replace("%", "%%"),
    )


def _declared_parameters(parsed: Namespace) -> tuple[tuple[str, Any], ...]:
    """Names and values of the flags that :func:`_add_parameter` adds, as far as they were given."""
    values = ((name, getattr(parsed, name)) for name in flag_parameters())
    return tuple((name, value) for name, value in values if value is not None)


def _add_output(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        default="image.png",
        metavar="FILE",
        help="picture file; may contain {seed} and {redux_mode} (default: image.png)",
    )
    group.add_argument(
        "--metadata",
        "--make-conf",
        action="store_true",
        help="write FILE.metadata.json next to each picture",
    )
    group.add_argument(
        "--no-exif", "--no-metadata", action="store_true", help="write no metadata into the pictures"
    )
    group.add_argument(
        "--config-from-metadata",
        "--config-from-conf",
        "-C",
        type=path_argument,
        metavar="FILE",
        help="take settings from a metadata file or a picture, made by mflux or by run-graph; flags given "
        "here take precedence",
    )
    group.add_argument(
        "--stepwise-image-output-dir",
        type=path_argument,
        metavar="DIR",
        help="write a picture of every step to this folder",
    )
    group.add_argument(
        "--save-graph", type=path_argument, metavar="FILE.json", help="also write the workflow"
    )


def _add_machine(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--low-ram", action="store_true", help="use as little memory as possible; implies --vae-tiling"
    )
    group.add_argument(
        "--mlx-cache-limit-gb", type=positive, metavar="GB", help="the most memory that MLX keeps for reuse"
    )
    group.add_argument("--vae-tiling", action="store_true", help="decode the picture in tiles of 512 pixels")
    group.add_argument(
        "--vae-tile-size",
        type=tile_size,
        metavar="PIXELS",
        help="size of the tiles, 128, 144, ...; implies --vae-tiling",
    )
    group.add_argument("--vae-tiling-split", metavar="WAY", help="refused: tiles are always square")
    group.add_argument(
        "--battery-percentage-stop-limit",
        "-B",
        type=percentage,
        default=BATTERY_LIMIT,
        metavar="N",
        help=f"stop before the next picture if the battery is at N %% or below (default: {BATTERY_LIMIT})",
    )
