"""From parsed flags to settings: what they mean together, and which cannot be honoured."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from run_graph.runtime.cli.mflux.arguments import LORA_REPOSITORY
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.models import base_of, canonical
from run_graph.runtime.formats.mflux.parameters import recorded_parameters
from run_graph.runtime.formats.mflux.settings import Settings

Value = TypeVar("Value")

_LINEAR = ("linear", "LinearScheduler")
_MAX_RANDOM_SEED = 10_000_000  # mflux's
_IMPLIED_TILE = 512


def settings_given(arguments: Namespace) -> Settings:
    """The settings that the command line states; None where it is silent.

    Raises
    ------
    CommandError
        For a flag that cannot be honoured, or flags that contradict each other.
    """
    _refuse(arguments)
    lora_paths, lora_scales = _loras(arguments)
    return Settings(
        prompt=_prompt(arguments),
        model=_model(arguments),
        base_model=_base_model(arguments),
        quantize=arguments.quantize,
        seeds=_seeds(arguments),
        parameters=_parameters(arguments),
        redux_model=arguments.redux_model,
        redux_image_paths=_tuple(arguments.redux_image_paths),
        redux_image_strengths=_tuple(arguments.redux_image_strengths),
        redux_mode=arguments.redux_mode,
        interpolation_mode=arguments.interpolation_mode,
        redux_fit=arguments.redux_fit,
        lora_paths=lora_paths,
        lora_scales=lora_scales,
    )


def _parameters(arguments: Namespace) -> dict[str, Any]:
    """The parameters of sampling and decoding that were given, by name."""
    given = {name: getattr(arguments, name, None) for name in recorded_parameters()}
    given["tile_size"] = _tile_size(arguments) or None
    return {name: value for name, value in given.items() if value is not None}


def _tile_size(arguments: Namespace) -> int:
    """Side of the tiles that the picture is decoded in, pixels; 0 for none. `--low-ram` implies tiles."""
    if arguments.vae_tile_size:
        return int(arguments.vae_tile_size)
    return _IMPLIED_TILE if arguments.vae_tiling or arguments.low_ram else 0


def _refuse(arguments: Namespace) -> None:
    if arguments.negative_prompt:
        raise CommandError(
            "--negative-prompt: FLUX.1's guidance is distilled and has no negative branch; leave the flag out"
        )
    if arguments.scheduler not in (None, *_LINEAR):
        raise CommandError(f"--scheduler {arguments.scheduler}: run-graph samples FLUX.1 by 'linear' only")
    if arguments.vae_tiling_split is not None:
        raise CommandError("--vae-tiling-split: tiles are square here; leave it out")
    if arguments.bake_lora:
        raise CommandError("--bake-lora: LoRAs are not merged into the weights here; leave it out")
    if arguments.lora_repo_id is not None and arguments.lora_name is None:
        raise CommandError("--lora-repo-id names a repository but no file in it; add --lora-name FILE")


def _prompt(arguments: Namespace) -> str | None:
    if arguments.prompt == "-":
        return _wanted(sys.stdin.read(), "--prompt -: nothing came from standard input")
    if arguments.prompt_file is None:
        prompt: str | None = arguments.prompt
        return prompt
    try:
        text = Path(arguments.prompt_file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--prompt-file {arguments.prompt_file} cannot be read: {error}") from error
    return _wanted(text, f'--prompt-file {arguments.prompt_file} is empty; --prompt "" draws without one')


def _wanted(text: str, complaint: str) -> str:
    if not text.strip():
        raise CommandError(complaint)
    return text.strip()


def _model(arguments: Namespace) -> str | None:
    if arguments.path is None:
        return canonical(arguments.model) if arguments.model is not None else None
    if arguments.model is None:
        raise CommandError("--path wants --model beside it (dev, schnell or krea-dev): what the folder holds")
    return str(arguments.path)


def _base_model(arguments: Namespace) -> str | None:
    """mflux 0.10: `--model dev --path FOLDER` is a folder with a dev model in it."""
    base: str | None = arguments.base_model
    return base_of(arguments.model) if arguments.path is not None and base is None else base


def _seeds(arguments: Namespace) -> tuple[int, ...] | None:
    if arguments.seed is not None and arguments.auto_seeds is not None:
        raise CommandError("--seed and --auto-seeds exclude each other; give one of them")
    if arguments.auto_seeds is not None:
        import random

        if arguments.auto_seeds > _MAX_RANDOM_SEED:
            raise CommandError(f"--auto-seeds {arguments.auto_seeds}: at most {_MAX_RANDOM_SEED} at once")
        return tuple(random.sample(range(_MAX_RANDOM_SEED + 1), arguments.auto_seeds))
    return tuple(dict.fromkeys(arguments.seed)) if arguments.seed is not None else None


def _loras(arguments: Namespace) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None]:
    """Paths and scales; paths None where the command line is silent, and () to drop recorded ones."""
    lists_given = arguments.lora_paths is not None or arguments.lora_scales is not None
    if arguments.lora is not None and lists_given:
        raise CommandError("--lora and --lora-paths/--lora-scales exclude each other; keep --lora")
    paths, scales = _tuple(arguments.lora_paths), _tuple(arguments.lora_scales)
    if arguments.lora is not None:
        pairs = [_pair(group) for group in arguments.lora]
        paths, scales = tuple(path for path, _ in pairs), tuple(scale for _, scale in pairs)
    named = _named_loras(arguments)
    return (*(paths or ()), *named) if named else paths, scales


def _pair(group: Sequence[str]) -> tuple[str, float]:
    if len(group) > 2:
        raise CommandError(f"--lora {' '.join(group)}: one path and perhaps a scale; repeat --lora for more")
    try:
        return group[0], float(group[1]) if len(group) == 2 else 1.0
    except ValueError:
        raise CommandError(f"--lora {' '.join(group)}: the scale {group[1]!r} is not a number") from None


def _named_loras(arguments: Namespace) -> list[str]:
    named = []
    if arguments.lora_style is not None:
        from mflux.models.flux.variants.in_context.utils.in_context_loras import LORA_NAME_MAP

        if arguments.lora_style not in LORA_NAME_MAP:
            known = ", ".join(sorted(LORA_NAME_MAP))
            raise CommandError(f"--lora-style {arguments.lora_style}: no such style; known are {known}")
        named.append(f"{LORA_REPOSITORY}:{LORA_NAME_MAP[arguments.lora_style]}")
    if arguments.lora_name is not None:
        name = arguments.lora_name
        file = name if name.endswith(".safetensors") else f"{name}.safetensors"
        named.append(f"{arguments.lora_repo_id or LORA_REPOSITORY}:{file}")
    return named


def _tuple(values: Sequence[Value] | None) -> tuple[Value, ...] | None:
    return None if values is None else tuple(values)
