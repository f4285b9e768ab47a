"""The names that a loader can be set to, for editors, which show them as a list."""

from __future__ import annotations

from run_graph.runtime.models.known_files import CLIP, STYLE_MODEL, T5, TRANSFORMER, VAE, VISION, WHOLE
from run_graph.runtime.models.library.finding import files
from run_graph.runtime.models.library.places import Category

_ROLES = (TRANSFORMER, WHOLE, CLIP, T5, VAE, VISION, STYLE_MODEL)
_SUFFIX = ".safetensors"


def file_names(category: Category) -> list[str]:
    """The names of well-known files of this kind, then those of the files in the user's folders.

    The disk is read again at each call. Names are relative to their folder, with ``/``; each is there once.
    Well-known files can be chosen even if they are not there: the first are built in, the weights of the
    others are downloaded.

    Raises FolderSettingsError.
    """
    there = sorted((found.name for found in files(category)), key=str.casefold)
    known = [f"{name}{_SUFFIX}" for role in _ROLES if category in role.categories for name in role.files]
    return list(dict.fromkeys([*known, *there]))
