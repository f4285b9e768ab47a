"""The names of models that an input offers: known files and aliases, and what the folders of models hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from run_graph.runtime.models.aliases import FLUX_ALIASES, REDUX_ALIASES, TINY, TINY_SCHNELL
from run_graph.runtime.models.library.choices import file_names
from run_graph.runtime.models.library.places import CATEGORIES, places
from run_graph.runtime.models.permissions import ModelRules

# Kinds that ComfyUI has and nothing here reads; its clients ask for them.
_EMPTY_KINDS = ("controlnet", "upscale_models", "embeddings")
MODEL_KINDS: tuple[str, ...] = (*CATEGORIES, *_EMPTY_KINDS)
"""ComfyUI's names of the folders of models."""

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
    category = next((each for each in CATEGORIES if each == kind), None)
    return [] if category is None else file_names(category)


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
