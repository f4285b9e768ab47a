"""The names of models that an input offers: known files and aliases, and what the folders of models hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from run_graph.runtime.models.checkpoints import FLUX_ALIASES, REDUX_ALIASES, TINY, TINY_SCHNELL
from run_graph.runtime.models.known_files import (
    CLIP,
    STYLE_MODEL,
    T5,
    TRANSFORMER,
    VAE,
    VISION,
    Role,
)
from run_graph.runtime.models.library.finding import files
from run_graph.runtime.models.library.places import CATEGORIES, Category, places
from run_graph.runtime.models.permissions import ModelRules

# Kinds that ComfyUI has and nothing here reads; its clients ask for them.
_EMPTY_KINDS = ("controlnet", "upscale_models", "embeddings")
MODEL_KINDS: tuple[str, ...] = (*CATEGORIES, *_EMPTY_KINDS)
"""ComfyUI's names of the folders of models."""

_ROLES: Mapping[str, Sequence[Role]] = {
    "checkpoints": (TRANSFORMER,),
    "diffusion_models": (TRANSFORMER,),
    "text_encoders": (CLIP, T5),
    "vae": (VAE,),
    "clip_vision": (VISION,),
    "style_models": (STYLE_MODEL,),
}
_ALIASES = {
    "flux": (TINY, TINY_SCHNELL, *FLUX_ALIASES),
    "redux": (TINY, *REDUX_ALIASES),
}


def known_models(kind: str) -> list[str]:
    """The names that an input for this kind of model offers.

    Parameters
    ----------
    kind : str
        One of :data:`MODEL_KINDS`, or ``flux`` or ``redux``: the names that LoadFlux or LoadRedux takes.
    """
    if kind in _ALIASES:
        return list(_ALIASES[kind])
    known = [f"{name}.safetensors" for role in _ROLES.get(kind, ()) for name in role.files]
    present = [found.name for category in _category(kind) for found in files(category)]
    return list(dict.fromkeys([*known, *sorted(present)]))


def model_folders() -> dict[str, list[str]]:
    """The folders of each kind of model, those that are not there included."""
    found: dict[str, list[str]] = {kind: [] for kind in MODEL_KINDS}
    for place in places():
        found[place.category].append(str(place.folder))
    return found


def model_rules(folders: Iterable[Path], *, any_download: bool) -> ModelRules:
    """What served prompts may use: models in these folders and in those that the user's settings name.

    Parameters
    ----------
    folders : paths
    any_download : bool
        Whether any repository may be downloaded; otherwise those with an alias.
    """
    repositories = {repo for aliases in (FLUX_ALIASES, REDUX_ALIASES) for repo, _ in aliases.values()}
    allowed = [*folders, *(place.folder for place in places())]
    return ModelRules(allowed, None if any_download else frozenset(repositories))


def _category(kind: str) -> list[Category]:
    return [each for each in get_args(Category) if each == kind]
