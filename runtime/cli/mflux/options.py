"""From flags to settings: what the flags mean together, and which cannot be honoured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from run_graph.runtime.cli.mflux.arguments import LORA_REPOSITORY
from run_graph.runtime.cli.mflux.flags import (
    Flags,
    LoraFlags,
    MachineFlags,
    ModelFlags,
    PromptFlags,
    SamplingFlags,
)
from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.models import base_of, canonical
from run_graph.runtime.formats.mflux.settings import PerPicture, Settings

_LINEAR = ("linear", "LinearScheduler")
_MAX_RANDOM_SEED = 10_000_000  # mflux's
_IMPLIED_TILE = 512


def settings_given(flags: Flags) -> Settings:
    """The settings that the command line gives; None for the others.

    Raises
    ------
    CommandError
        For a flag that cannot be honoured, or flags that contradict each other.
    """
    _refuse(flags)
    lora_paths, lora_scales = _loras(flags.loras)
    return Settings(
        prompt=_prompt(flags.prompt),
        model=_model(flags.model),
        base_model=_base_model(flags.model),
        quantize=flags.model.quantize,
        seeds=_seeds(flags.sampling),
        parameters=_parameters(flags.sampling, flags.machine),
        redux_model=flags.model.redux_model,
        redux_image_paths=flags.redux.redux_image_paths,
        redux_image_strengths=flags.redux.redux_image_strengths,
        redux_mode=_per_picture(flags.redux.redux_mode),
        interpolation_mode=_per_picture(flags.redux.interpolation_mode),
        redux_fit=_per_picture(flags.redux.redux_fit),
        lora_paths=lora_paths,
        lora_scales=lora_scales,
    )


def _per_picture(values: Sequence[str] | None) -> PerPicture | None:
    """One value is for all pictures."""
    if values is None:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def _parameters(sampling: SamplingFlags, machine: MachineFlags) -> dict[str, Any]:
    """The parameters of sampling and decoding that were given, under the names of the nodes' inputs."""
    values = {
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "width": sampling.width,
        "height": sampling.height,
        "tile_size": _tile_size(machine),
        **dict(sampling.parameters),
    }
    return {name: value for name, value in values.items() if value is not None}


def _tile_size(machine: MachineFlags) -> int | None:
    """Side of the tiles in which the picture is decoded, in pixels; None for no tiles."""
    if machine.vae_tile_size is not None:
        return machine.vae_tile_size
    return _IMPLIED_TILE if machine.vae_tiling or machine.low_ram else None


def _refuse(flags: Flags) -> None:
    if flags.prompt.negative_prompt:
        raise CommandError(
            "--negative-prompt: FLUX.1's guidance is distilled and has no negative branch; leave the flag out"
        )
    scheduler = flags.sampling.scheduler
    if scheduler not in (None, *_LINEAR):
        raise CommandError(f"--scheduler {scheduler}: the only scheduler for FLUX.1 here is 'linear'")
    if flags.machine.vae_tiling_split is not None:
        raise CommandError("--vae-tiling-split: tiles are always square here; leave the flag out")
    if flags.loras.bake_lora:
        raise CommandError("--bake-lora: LoRAs are not merged into the weights here; leave the flag out")
    if flags.loras.lora_repo_id is not None and flags.loras.lora_name is None:
        raise CommandError("--lora-repo-id names a repository but no file in it; add --lora-name FILE")


def _prompt(flags: PromptFlags) -> str | None:
    if flags.prompt == "-":
        text = sys.stdin.read().removeprefix("\ufeff")
        return _non_empty(text, "--prompt -: standard input was empty")
    if flags.prompt_file is None:
        return flags.prompt
    try:
        text = flags.prompt_file.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--prompt-file {flags.prompt_file} cannot be read: {error}") from error
    return _non_empty(
        text, f'--prompt-file {flags.prompt_file} is empty; to draw without a prompt, use --prompt ""'
    )


def _non_empty(text: str, complaint: str) -> str:
    if not text.strip():
        raise CommandError(complaint)
    return text.strip()


def _model(flags: ModelFlags) -> str | None:
    if flags.path is None:
        return canonical(flags.model) if flags.model is not None else None
    if flags.model is None:
        raise CommandError(
            "--path also needs --model (dev, schnell or krea-dev), which says what the folder contains"
        )
    return flags.path


def _base_model(flags: ModelFlags) -> str | None:
    """As in mflux 0.10, `--model dev --path FOLDER` is a folder that contains a dev model."""
    if flags.path is not None and flags.base_model is None and flags.model is not None:
        return base_of(flags.model)
    return flags.base_model


def _seeds(flags: SamplingFlags) -> tuple[int, ...] | None:
    if flags.seed is not None and flags.auto_seeds is not None:
        raise CommandError("--seed and --auto-seeds cannot be combined; give one of them")
    if flags.auto_seeds is not None:
        import random

        if flags.auto_seeds > _MAX_RANDOM_SEED:
            raise CommandError(f"--auto-seeds {flags.auto_seeds}: the limit is {_MAX_RANDOM_SEED}")
        return tuple(random.sample(range(_MAX_RANDOM_SEED + 1), flags.auto_seeds))
    return tuple(dict.fromkeys(flags.seed)) if flags.seed is not None else None


def _loras(flags: LoraFlags) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None]:
    """Paths and scales. Paths are None if the command line gives none, and () to drop recorded ones."""
    lists_given = flags.lora_paths is not None or flags.lora_scales is not None
    if flags.lora is not None and lists_given:
        raise CommandError("--lora cannot be combined with --lora-paths or --lora-scales; use --lora alone")
    paths, scales = flags.lora_paths, flags.lora_scales
    if flags.lora is not None:
        pairs = [_pair(group) for group in flags.lora]
        paths, scales = tuple(path for path, _ in pairs), tuple(scale for _, scale in pairs)
    named = _named_loras(flags)
    return (*(paths or ()), *named) if named else paths, scales


def _pair(group: Sequence[str]) -> tuple[str, float]:
    if len(group) > 2:
        raise CommandError(
            f"--lora {' '.join(group)}: give one path and, optionally, a scale; repeat --lora for more LoRAs"
        )
    try:
        return group[0], float(group[1]) if len(group) == 2 else 1.0
    except ValueError:
        raise CommandError(f"--lora {' '.join(group)}: the scale {group[1]!r} is not a number") from None


def _named_loras(flags: LoraFlags) -> list[str]:
    named = []
    if flags.lora_style is not None:
        from mflux.models.flux.variants.in_context.utils.in_context_loras import LORA_NAME_MAP

        if flags.lora_style not in LORA_NAME_MAP:
            known = ", ".join(sorted(LORA_NAME_MAP))
            raise CommandError(f"--lora-style {flags.lora_style}: no such style; choose from {known}")
        named.append(f"{LORA_REPOSITORY}:{LORA_NAME_MAP[flags.lora_style]}")
    if flags.lora_name is not None:
        name = flags.lora_name
        file = name if name.endswith(".safetensors") else f"{name}.safetensors"
        named.append(f"{flags.lora_repo_id or LORA_REPOSITORY}:{file}")
    return named
