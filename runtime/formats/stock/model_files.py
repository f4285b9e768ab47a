"""The files that ComfyUI's loaders name, for models as LoadFlux and LoadRedux name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from run_graph.runtime.models.aliases import FLUX_ALIASES, REDUX_ALIASES, TINY, TINY_SCHNELL
from run_graph.runtime.models.known_files import TRANSFORMER


class FluxFiles(NamedTuple):
    """A FLUX.1 model's files; ``is_guided``: whether it takes guidance and shifts noise levels, as dev."""

    transformer: str
    clip: str
    t5: str
    vae: str
    is_guided: bool


class ReduxFiles(NamedTuple):
    """The files of the picture encoders."""

    vision: str
    style_model: str


_ENCODERS = ("clip_l.safetensors", "t5xxl_fp16.safetensors", "ae.safetensors")
_TINY_ENCODERS = ("clip_l_tiny.safetensors", "t5xxl_tiny.safetensors", "ae_tiny.safetensors")

FLUX_FILES: Mapping[str, FluxFiles] = {
    TINY: FluxFiles("flux1-tiny.safetensors", *_TINY_ENCODERS, is_guided=True),
    TINY_SCHNELL: FluxFiles("flux1-tiny-schnell.safetensors", *_TINY_ENCODERS, is_guided=False),
    "schnell": FluxFiles("flux1-schnell.safetensors", *_ENCODERS, is_guided=False),
    "dev": FluxFiles("flux1-dev.safetensors", *_ENCODERS, is_guided=True),
    "krea-dev": FluxFiles("flux1-krea-dev.safetensors", *_ENCODERS, is_guided=True),
}
REDUX_FILES: Mapping[str, ReduxFiles] = {
    TINY: ReduxFiles("sigclip_vision_tiny.safetensors", "flux1-redux-tiny.safetensors"),
    "dev-redux": ReduxFiles("sigclip_vision_patch14_384.safetensors", "flux1-redux-dev.safetensors"),
}

_ALIASES = {repo: alias for alias, (repo, _) in (FLUX_ALIASES | REDUX_ALIASES).items()}


def alias_of(model: str) -> str:
    """The short name of a model; the name itself if it has none."""
    return _ALIASES.get(model.partition("@")[0], model)


def is_guided_file(name: str) -> bool | None:
    """Whether the transformer in a file takes guidance; None if the file is not known."""
    model = TRANSFORMER.model_of(name)
    return None if model is None else FLUX_FILES[model].is_guided
