"""The flags of ``mflux-generate-redux-advanced`` with their types, grouped as in its help.

The parser makes them once; nothing changes them. None means that a flag was not given, so that recorded
settings can take its place. Each field has the name of its flag; ``parameters`` has several.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.cli.options import CacheOptions, PermissionOptions
from run_graph.runtime.images.choices import Kernel
from run_graph.runtime.models.components import Bits
from run_graph.runtime.networks.token_counts import Mode


@dataclass(frozen=True)
class PromptFlags:
    """What to draw."""

    prompt: str | None
    prompt_file: Path | None
    negative_prompt: str | None


@dataclass(frozen=True)
class ReduxFlags:
    """The reference pictures, as typed, and how they are used: one value for all, or one for each."""

    redux_image_paths: tuple[str, ...] | None
    redux_image_strengths: tuple[float, ...] | None
    redux_mode: tuple[Mode, ...] | None
    interpolation_mode: tuple[Kernel, ...] | None
    redux_fit: tuple[str, ...] | None


@dataclass(frozen=True)
class ModelFlags:
    """The models: names, repositories or folders, as typed."""

    model: str | None
    path: str | None
    base_model: str | None
    redux_model: str | None
    quantize: Bits | None


@dataclass(frozen=True)
class LoraFlags:
    """The LoRAs; each ``--lora`` is a group of one path and perhaps a scale."""

    lora: tuple[tuple[str, ...], ...] | None
    lora_paths: tuple[str, ...] | None
    lora_scales: tuple[float, ...] | None
    lora_style: str | None
    lora_name: str | None
    lora_repo_id: str | None
    bake_lora: bool | None


@dataclass(frozen=True)
class SamplingFlags:
    """Seeds, steps, guidance, the size in pixels, and the parameters that mflux does not have.

    ``parameters`` has the name and value of each of these that was given; the sampling node declares them
    (:func:`runtime.formats.mflux.parameters.flag_parameters`).
    """

    seed: tuple[int, ...] | None
    auto_seeds: int | None
    steps: int | None
    guidance: float | None
    width: int | None
    height: int | None
    scheduler: str | None
    parameters: tuple[tuple[str, float | str], ...]


@dataclass(frozen=True)
class OutputFlags:
    """What is written where, and the file that settings are read from; ``output`` is a template."""

    output: str
    metadata: bool
    no_exif: bool
    config_from_metadata: Path | None
    stepwise_image_output_dir: Path | None
    save_graph: Path | None


@dataclass(frozen=True)
class MachineFlags:
    """Memory in gigabytes, tiles in pixels, and the battery limit in per cent."""

    low_ram: bool
    mlx_cache_limit_gb: float | None
    vae_tiling: bool
    vae_tile_size: int | None
    vae_tiling_split: str | None
    battery_percentage_stop_limit: int


@dataclass(frozen=True)
class Flags:
    """The command line of ``mflux-generate-redux-advanced``."""

    verbose: bool
    prompt: PromptFlags
    redux: ReduxFlags
    model: ModelFlags
    loras: LoraFlags
    sampling: SamplingFlags
    output: OutputFlags
    machine: MachineFlags
    permissions: PermissionOptions
    cache: CacheOptions
