"""Complete settings: everything that the graph needs, defaults filled in as mflux fills them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from run_graph.runtime.formats.mflux.errors import CommandError
from run_graph.runtime.formats.mflux.models import DEFAULT_MODEL, check_base_model, default_steps, redux_model
from run_graph.runtime.formats.mflux.settings import PerPicture, Quantize, Settings

GUIDANCE = 3.5
SIDE = 1024
MODE, INTERPOLATION, FIT = "medium", "area", "stretch"
# mflux squashes with Lanczos; ComfyUI, whose way the other fits are, crops with bicubic.
RESAMPLE = {"stretch": "lanczos", "crop": "bicubic", "pad": "bicubic"}
BACKGROUND, FRAMES = "white", "first"  # How mflux reads a picture file.
_FACTOR = "factor "  # How the metadata writes an explicit reduction factor in the place of a mode.


@dataclass(frozen=True)
class ReferencePicture:
    """A reference picture: its file, and how it is prepared. `factor`, where given, replaces `mode`."""

    path: str
    strength: float = 1.0
    mode: str = MODE
    factor: float | None = None
    interpolation: str = INTERPOLATION
    fit: str = FIT
    resample: str = RESAMPLE[FIT]
    background: str = BACKGROUND
    frames: str = FRAMES


@dataclass(frozen=True)
class LoraSpec:
    """A LoRA's file or repository, and its scale."""

    path: str
    scale: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """How to draw pictures that differ in their seeds.

    `parameters` are those of the sampling and decoding nodes, by name; the nodes' own defaults hold for those
    that are missing.
    """

    prompt: str
    seeds: tuple[int, ...]
    model: str
    redux_model: str
    quantize: int | None
    redux_quantize: Quantize
    references: tuple[ReferencePicture, ...]
    loras: tuple[LoraSpec, ...]
    parameters: Mapping[str, Any]


def recipe_of(settings: Settings) -> Recipe:
    """Fill in what the settings leave open.

    mflux's defaults: FLUX.1-dev, 1024 x 1024 pixels, guidance 3.5, the model's number of steps, the time
    as seed. Width and height are rounded down to multiples of 16, as mflux does. Missing strengths and
    scales are 1. SigLIP and Redux come from the model's own folder if it has them, or from Redux-dev.

    Raises
    ------
    CommandError
        If the prompt is missing or lists do not match; names the flag.
    """
    if settings.prompt is None:
        raise CommandError(
            'the prompt is missing: give --prompt TEXT, --prompt-file FILE, or --prompt "" for none'
        )
    model = settings.model or settings.base_model or DEFAULT_MODEL
    check_base_model(model, settings.base_model)
    return Recipe(
        prompt=settings.prompt,
        seeds=settings.seeds or (int(time.time()),),
        model=model,
        redux_model=settings.redux_model or redux_model(model),
        quantize=settings.quantize,
        redux_quantize=settings.redux_quantize or settings.quantize or "none",
        references=_references(settings),
        loras=_loras(settings),
        parameters=_parameters(settings, model),
    )


def _parameters(settings: Settings, model: str) -> dict[str, Any]:
    """What the settings state, mflux's defaults in place of the nodes', sides as multiples of 16."""
    defaults = {
        "steps": default_steps(model, settings.base_model),
        "guidance": GUIDANCE,
        "width": SIDE,
        "height": SIDE,
    }
    known = {**defaults, **settings.parameters}
    return known | {side: 16 * (known[side] // 16) for side in ("width", "height")}


def _references(settings: Settings) -> tuple[ReferencePicture, ...]:
    paths = settings.redux_image_paths or ()
    if not paths and settings.redux_image_strengths:
        raise CommandError("--redux-image-strengths without --redux-image-paths: name the pictures")
    strengths = _filled(settings.redux_image_strengths, paths, "--redux-image-strengths", "pictures")
    modes = _each(settings.redux_mode, paths, MODE, "--redux-mode")
    kernels = _each(settings.interpolation_mode, paths, INTERPOLATION, "--interpolation-mode")
    fits = _each(settings.redux_fit, paths, FIT, "--redux-fit")
    resamples = _each(settings.redux_resample, paths, "", "--redux-fit")
    backgrounds = _each(settings.redux_background, paths, BACKGROUND, "redux_background")
    frames = _each(settings.redux_frames, paths, FRAMES, "redux_frames")
    rows = zip(paths, strengths, modes, kernels, fits, resamples, backgrounds, frames, strict=True)
    return tuple(
        ReferencePicture(
            path, strength, *_mode_and_factor(mode), kernel, fit, resample or _resample(fit), *reading
        )
        for path, strength, mode, kernel, fit, resample, *reading in rows
    )


def _resample(fit: str) -> str:
    return RESAMPLE.get(fit, "bicubic")  # an unknown fit is validation's to report


def _loras(settings: Settings) -> tuple[LoraSpec, ...]:
    paths = settings.lora_paths or ()
    if not paths and settings.lora_scales:
        raise CommandError("--lora-scales without --lora-paths: name the LoRAs")
    scales = _filled(settings.lora_scales, paths, "--lora-scales", "LoRAs")
    return tuple(LoraSpec(path, scale) for path, scale in zip(paths, scales, strict=True))


def _filled(given: Sequence[float] | None, paths: Sequence[str], flag: str, things: str) -> list[float]:
    """One number for each path: those given, then ones."""
    numbers = list(given or ())
    if len(numbers) > len(paths):
        raise CommandError(f"{flag}: {len(numbers)} for {len(paths)} {things}; at most one for each")
    return numbers + [1.0] * (len(paths) - len(numbers))


def _each(value: PerPicture | None, paths: Sequence[str], default: str, flag: str) -> list[str]:
    """The value for each path."""
    if value is None or isinstance(value, str):
        return [value or default] * len(paths)
    if len(value) != len(paths):
        pictures = "1 picture" if len(paths) == 1 else f"{len(paths)} pictures"
        raise CommandError(f"{flag}: {len(value)} values for {pictures}; give one for all, or one for each")
    return [each or default for each in value]


def _mode_and_factor(mode: str) -> tuple[str, float | None]:
    if not mode.startswith(_FACTOR):
        return mode, None
    try:
        return MODE, float(mode.removeprefix(_FACTOR))
    except ValueError:
        raise CommandError(f"the recorded redux_mode {mode!r} is not a mode; give --redux-mode") from None
