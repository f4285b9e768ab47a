"""The settings of a picture under mflux's names, any of them unknown.

They come from the command line (:mod:`runtime.cli.mflux.options`) or from a picture's or sidecar's
metadata (:mod:`runtime.formats.mflux.recorded`); the first win over the second.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

PerPicture = str | tuple[str | None, ...]
"""One value for all reference pictures, or one for each, None where it is not known."""


@dataclass(frozen=True)
class Settings:
    """What is known of how a picture is to be made; None is unknown.

    The names are those of mflux's metadata; `redux_model`, `redux_fit` and `redux_resample` are ours.
    Paths are as the user wrote them.
    """

    prompt: str | None = None
    model: str | None = None
    base_model: str | None = None
    quantize: int | None = None
    seeds: tuple[int, ...] | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    redux_model: str | None = None
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
        Redux model belong to their model, and a resizing kernel to its fit.
        """
        if self.model is not None:
            others = replace(others, base_model=None, redux_model=None)
        if self.redux_image_paths is not None:
            others = replace(others, redux_image_strengths=None, **_common_only(others))
        if self.redux_fit is not None:
            others = replace(others, redux_resample=None)
        if self.lora_paths is not None:
            others = replace(others, lora_scales=None)
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(others, **{name: value for name, value in known.items() if value is not None})


def _common_only(settings: Settings) -> dict[str, Any]:
    """The settings that may differ from picture to picture, without those that do."""
    names = ("redux_mode", "interpolation_mode", "redux_fit", "redux_resample")
    return {name: None if isinstance(value := getattr(settings, name), tuple) else value for name in names}
