"""The settings of a picture under mflux's names, any of them unknown.

They come from the command line (:mod:`runtime.cli.mflux.options`) or from a picture's or sidecar's
metadata (:mod:`runtime.formats.mflux.recorded`); the first win over the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

PerPicture = str | tuple[str | None, ...]
"""One value for all reference pictures, or one for each, None where it is not known."""


Quantize = int | str
"""Bits per weight, or "none"."""


@dataclass(frozen=True)
class Settings:
    """What is known of how a picture is to be made; None is unknown.

    The names are those of mflux's metadata; those of `redux_model`, `redux_quantize`, `redux_fit`
    and `redux_resample` are ours.
    `parameters` are those of the sampling and decoding nodes that are known, by name (`steps`, `width`,
    ...; see `runtime.formats.mflux.parameters`). Paths are as the user wrote them.
    """

    prompt: str | None = None
    model: str | None = None
    base_model: str | None = None
    quantize: int | None = None
    seeds: tuple[int, ...] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    redux_model: str | None = None
    redux_quantize: Quantize | None = None
    redux_image_paths: tuple[str, ...] | None = None
    redux_image_strengths: tuple[float, ...] | None = None
    redux_mode: PerPicture | None = None
    interpolation_mode: PerPicture | None = None
    redux_fit: PerPicture | None = None
    redux_resample: PerPicture | None = None
    lora_paths: tuple[str, ...] | None = None
    lora_scales: tuple[float, ...] | None = None

    def over(self, others: Settings) -> Settings:
        """These settings, and the others' where these are silent.

        Strengths and scales belong to the pictures and LoRAs that they were given with, and so do modes
        that differ from picture to picture: they do not outlive a new list of paths. A base model and a
        Redux model belong to their model, and a resizing kernel to its fit. New bits are for Redux too.
        """
        if self.model is not None:
            others = replace(others, base_model=None, redux_model=None)
        if self.quantize is not None:
            others = replace(others, redux_quantize=None)
        if self.redux_image_paths is not None:
            others = replace(others, redux_image_strengths=None, **_common_only(others))
        if self.redux_fit is not None:
            others = replace(others, redux_resample=None)
        if self.lora_paths is not None:
            others = replace(others, lora_scales=None)
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        known["parameters"] = {**others.parameters, **self.parameters}
        return replace(others, **{name: value for name, value in known.items() if value is not None})


def _common_only(settings: Settings) -> dict[str, Any]:
    """The settings that may differ from picture to picture, without those that do."""
    names = ("redux_mode", "interpolation_mode", "redux_fit", "redux_resample")
    return {name: None if isinstance(value := getattr(settings, name), tuple) else value for name in names}
