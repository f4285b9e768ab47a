"""Which folders the user has named, and in which order they are searched.

First those of `--models-dir`, then those in the environment variable `RUN_GRAPH_MODELS` (separated as in
PATH), then the entry `models` of `run-graph.toml` in the working directory, then of that in the user's
configuration folder::

    models = ["~/ComfyUI/models", "more-models"]   # relative to the file's own folder
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.environment_variable import variable_set

VARIABLE = "RUN_GRAPH_MODELS"
FILE = "run-graph.toml"
_ENTRY = "models"


class Named(NamedTuple):
    """A folder, or a file like ComfyUI's extra_model_paths.yaml, that the user has named, and where."""

    path: Path
    origin: str


class FolderSettingsError(ModelError):
    """What says where models are cannot be read; the message names the file, the entry and the fix."""


def named_places() -> list[Named]:
    """What the user has named, each once, in order. Nothing of it need exist.

    Raises
    ------
    FolderSettingsError
        If a configuration file is wrong.
    """
    listed = [Named(Path(text), VARIABLE) for text in _listed()]
    for file in (Path.cwd() / FILE, user_file()):
        listed += [Named(path, str(file)) for path in _entries(file)]
    once: dict[str, Named] = {}
    for path, origin in listed:
        path = path.expanduser()
        once.setdefault(os.path.realpath(path), Named(path, origin))
    return list(once.values())


def user_file() -> Path:
    """The configuration file of the user, which need not exist."""
    return _configuration_folder() / FILE


def also_searching(folders: Sequence[Path]) -> AbstractContextManager[None]:
    """Search these folders first inside the context.

    Sets the environment variable, so that other threads and processes that are started do so too.
    """
    paths = [str(folder.absolute()) for folder in folders]
    if before := os.environ.get(VARIABLE):
        paths.append(before)
    return variable_set(VARIABLE, os.pathsep.join(paths) if folders else None)


def _listed() -> list[str]:
    return [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


@cache
def _configuration_folder() -> Path:
    from platformdirs import user_config_path

    return user_config_path("run-graph", appauthor=False)


def _entries(file: Path) -> list[Path]:
    try:
        state = file.stat()
    except OSError:
        return []
    return [file.parent / Path(text).expanduser() for text in _read(file, state.st_mtime_ns, state.st_size)]


@lru_cache(maxsize=8)
def _read(file: Path, modified: int, size: int) -> tuple[str, ...]:
    """The folders that a configuration file names; read again when it has changed."""
    try:
        with open(file, "rb") as opened:
            settings = tomllib.load(opened)
    except (OSError, ValueError) as error:
        raise FolderSettingsError(f"{file} cannot be read as TOML: {error}.") from error
    if unknown := sorted(settings.keys() - {_ENTRY}):
        raise FolderSettingsError(
            f"{file} has the unknown entry {unknown[0]!r}; the only one is {_ENTRY}, a list of folders."
        )
    folders = settings.get(_ENTRY, [])
    if not isinstance(folders, list) or not all(isinstance(each, str) and each for each in folders):
        raise FolderSettingsError(
            f'{file}: {_ENTRY} is not a list of folders; write it as {_ENTRY} = ["~/ComfyUI/models"].'
        )
    return tuple(folders)
