"""The flags of ``mflux-generate-redux-advanced``, in the spellings of mflux 0.10 and 0.24.

Names, aliases and meanings are those of mflux's ``CommandLineParser`` and of the advanced-Redux branch of
mflux 0.10. Every flag is absent (None) unless it was given, so that recorded settings can fill it.
"""

from __future__ import annotations

import math
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
    _ArgumentGroup,
)
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from run_graph.graph.declaration import InputSpec
from run_graph.runtime.cli.cache_options import add_cache_arguments
from run_graph.runtime.formats.mflux.parameters import flag_parameters
from run_graph.runtime.models.components import QUANTIZE_BITS
from run_graph.runtime.networks.token_counts import KERNELS, MODES

PROGRAM = "mflux-generate-redux-advanced"
LORA_REPOSITORY = "ali-vilab/In-Context-LoRA"  # where mflux has the LoRAs that it names by a style
FITS = ("stretch", "crop", "pad")
BATTERY_LIMIT = 5
SMALLEST_TILE = 128  # mflux's tiles overlap by 64 pixels; ours do too.

_EXAMPLES = f"""\
examples:
  {PROGRAM} --prompt "an oil painting" --redux-image-paths photo.jpg --redux-mode low
  {PROGRAM} --prompt "" --redux-image-paths a.jpg b.jpg --redux-image-strengths 1 0.5 --seed 1 2 3
  {PROGRAM} --config-from-metadata old.png --redux-mode high
  {PROGRAM} --model tiny --prompt "a try" --width 96 --height 96
"""


def parse(argv: Sequence[str] | None) -> Namespace:
    """Parse the command line; one that is wrong ends the process with code 2 and a message."""
    return parser().parse_args(argv)


def parser() -> ArgumentParser:
    """The parser with all flags."""
    made = ArgumentParser(
        PROGRAM,
        usage=f"{PROGRAM} --prompt TEXT [--redux-image-paths FILE ...] [options]",
        description="Draw pictures with FLUX.1 from a prompt and reference pictures (Redux), as a run-graph "
        "workflow. Takes mflux's flags.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,  # as mflux 0.24: an abbreviation breaks when a new flag shares its start
    )
    made.add_argument("--version", action="version", version=f"run-graph {version('run-graph')}")
    made.add_argument("--verbose", "-v", action="store_true", help="log details; show where a failure arose")
    _add_prompt(made)
    _add_redux(made)
    _add_model(made)
    _add_loras(made)
    _add_sampling(made)
    _add_output(made)
    _add_machine(made)
    add_cache_arguments(made)
    return made


def _add_prompt(made: ArgumentParser) -> None:
    group = made.add_argument_group("prompt").add_mutually_exclusive_group()
    group.add_argument("--prompt", metavar="TEXT", help='what to draw; "" is usual with Redux; - reads it')
    group.add_argument("--prompt-file", type=Path, metavar="FILE", help="file that holds the prompt")
    made.add_argument("--negative-prompt", metavar="TEXT", help="refused: FLUX.1 has no negative prompt")


def _add_redux(made: ArgumentParser) -> None:
    group = made.add_argument_group("reference pictures")
    group.add_argument("--redux-image-paths", nargs="*", metavar="FILE", help="reference pictures")
    group.add_argument(
        "--redux-image-strengths",
        nargs="*",
        type=_finite,
        metavar="S",
        help="factors 0..1 on their tokens (default: 1)",
    )
    group.add_argument(
        "--redux-mode", choices=tuple(MODES), help="how much the pictures count against the prompt (medium)"
    )
    group.add_argument("--interpolation-mode", choices=KERNELS, help="how their token grid is reduced (area)")
    group.add_argument(
        "--redux-fit",
        choices=FITS,
        help="how they become square (stretch; crop is ComfyUI's way)",
    )


def _add_model(made: ArgumentParser) -> None:
    group = made.add_argument_group("model")
    group.add_argument("--model", "-m", help="dev (default), schnell, krea-dev, tiny, a repository, a folder")
    group.add_argument("--path", metavar="FOLDER", help="read the weights of --model from this folder")
    group.add_argument(
        "--base-model", metavar="MODEL", help="what another model is made from: dev, schnell, ..."
    )
    group.add_argument("--redux-model", metavar="MODEL", help="where SigLIP and Redux come from")
    group.add_argument("--quantize", "-q", type=int, choices=QUANTIZE_BITS, help="bits per weight")


def _add_loras(made: ArgumentParser) -> None:
    group = made.add_argument_group("LoRA")
    group.add_argument(
        "--lora", action="append", nargs="+", metavar=("PATH", "SCALE"), help="file or repository; repeatable"
    )
    group.add_argument("--lora-paths", nargs="*", metavar="PATH", help="the same, all paths in one flag")
    group.add_argument("--lora-scales", nargs="*", type=_finite, metavar="SCALE", help="and all scales")
    group.add_argument("--lora-style", metavar="NAME", help=f"one of {LORA_REPOSITORY}'s LoRAs")
    group.add_argument("--lora-name", metavar="FILE", help="a LoRA file in --lora-repo-id")
    group.add_argument("--lora-repo-id", metavar="REPO", help=f"default: {LORA_REPOSITORY}")
    group.add_argument(
        "--bake-lora", action=BooleanOptionalAction, default=None, help="LoRAs are never merged"
    )


def _add_sampling(made: ArgumentParser) -> None:
    group = made.add_argument_group("sampling")
    group.add_argument("--seed", type=_seed, nargs="+", metavar="N", help="one picture each (default: time)")
    group.add_argument("--auto-seeds", type=_positive_int, metavar="N", help="N pictures with random seeds")
    group.add_argument("--steps", type=_positive_int, help="25; schnell 4, tiny 8")
    group.add_argument("--guidance", type=_finite, help="3.5")
    group.add_argument("--width", type=_side, help="pixels (1024), rounded down to a multiple of 16")
    group.add_argument("--height", type=_side, help="likewise")
    group.add_argument("--scheduler", metavar="NAME", help="refused unless linear: see --schedule")
    for name, spec in flag_parameters().items():
        _add_parameter(group, name, spec)


def _add_parameter(group: _ArgumentGroup, name: str, spec: InputSpec) -> None:
    """A flag for a parameter that mflux has no flag for, from the node's own declaration."""
    kinds: dict[str, Callable[[str], Any]] = {"INT": _integer, "FLOAT": _finite}
    group.add_argument(
        f"--{name.replace('_', '-')}",
        type=kinds.get(spec.socket, str),
        choices=spec.options or None,
        metavar=None if spec.options else "X",
        help=f"{spec.description} ({spec.default})".replace("%", "%%"),
    )


def _add_output(made: ArgumentParser) -> None:
    group = made.add_argument_group("output")
    group.add_argument(
        "--output", default="image.png", metavar="FILE", help="may hold {seed} and {redux_mode} (image.png)"
    )
    group.add_argument(
        "--metadata", "--make-conf", action="store_true", help="write FILE.metadata.json beside each picture"
    )
    group.add_argument(
        "--no-exif", "--no-metadata", action="store_true", help="keep metadata out of pictures"
    )
    group.add_argument(
        "--config-from-metadata",
        "--config-from-conf",
        "-C",
        type=Path,
        metavar="FILE",
        help="take settings from a sidecar or a picture, mflux's or ours; flags given here win",
    )
    group.add_argument(
        "--stepwise-image-output-dir", type=Path, metavar="DIR", help="write a picture of every step there"
    )
    group.add_argument("--save-graph", type=Path, metavar="FILE.json", help="write the workflow too")


def _add_machine(made: ArgumentParser) -> None:
    group = made.add_argument_group("machine")
    group.add_argument("--low-ram", action="store_true", help="least memory; implies --vae-tiling")
    group.add_argument(
        "--mlx-cache-limit-gb", type=_positive, metavar="GB", help="memory MLX keeps for reuse"
    )
    group.add_argument("--vae-tiling", action="store_true", help="decode the picture in tiles, of 512 pixels")
    group.add_argument(
        "--vae-tile-size", type=_tile_size, metavar="PIXELS", help="128, 144, ...; implies tiling"
    )
    group.add_argument("--vae-tiling-split", metavar="WAY", help="refused: tiles here are square")
    group.add_argument(
        "--battery-percentage-stop-limit",
        "-B",
        type=_percentage,
        default=BATTERY_LIMIT,
        metavar="N",
        help=f"stop before the next picture when the battery is down to N %% ({BATTERY_LIMIT})",
    )


def _finite(text: str) -> float:
    value = _number(text)
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def _positive(text: str) -> float:
    if (value := _finite(text)) <= 0:
        raise ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None


def _positive_int(text: str) -> int:
    if (value := _integer(text)) < 1:
        raise ArgumentTypeError(f"{text!r} is below 1")
    return value


def _seed(text: str) -> int:
    if not 0 <= (value := _integer(text)) < 2**64:
        raise ArgumentTypeError(f"{text!r} is not in 0..2**64-1")
    return value


def _side(text: str) -> int:
    if (value := _integer(text)) < 16:
        raise ArgumentTypeError(f"{text!r} is below 16 pixels")
    return value


def _tile_size(text: str) -> int:
    value = _integer(text)
    if value < SMALLEST_TILE or value % 16:
        raise ArgumentTypeError(f"{text!r} is not a multiple of 16 of at least {SMALLEST_TILE} pixels")
    return value


def _percentage(text: str) -> int:
    """mflux brings it into 1..99."""
    return max(1, min(99, _integer(text)))
