"""The names that a loader can be set to, for editors, which show them as a list."""

from __future__ import annotations

from run_graph.runtime.models.known_files import CLIP, STYLE_MODEL, T5, TRANSFORMER, VAE, VISION, WHOLE
from run_graph.runtime.models.library.finding import files
from run_graph.runtime.models.library.places import Category

_ROLES = (TRANSFORMER, WHOLE, CLIP, T5, VAE, VISION, STYLE_MODEL)
_SUFFIX = ".safetensors"


def file_names(category: Category) -> list[str]:
    """The names of the files in the user's folders of this kind, then those of well-known files.

    The disk is read afresh at each call. Names are relative to their folder, with ``/``; each is there once.
    Well-known files that are not there can be chosen too: their weights are downloaded.

    Raises FolderSettingsError.
    """
    there = sorted((found.name for found in files(category)), key=str.casefold)
    known = [f"{name}{_SUFFIX}" for role in _ROLES if category in role.categories for name in role.files]
    return list(dict.fromkeys([*there, *known]))
