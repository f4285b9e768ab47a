"""From the folders that the user has named to the folders of each kind of model, as ComfyUI has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from run_graph.runtime.models.library.settings import FolderSettingsError, Named, named_places

Category = Literal[
    "diffusion_models", "text_encoders", "vae", "style_models", "clip_vision", "checkpoints", "loras"
]
CATEGORIES: tuple[Category, ...] = get_args(Category)

# ComfyUI still reads the folders that two of them were called before.
_OLD_NAMES: dict[str, Category] = {"unet": "diffusion_models", "clip": "text_encoders"}
_FOLDERS: tuple[tuple[str, Category], ...] = (*_OLD_NAMES.items(), *((each, each) for each in CATEGORIES))

_EXTRA = "extra_model_paths.yaml"
_YAML = (".yaml", ".yml")
_MODELS = "models"  # where ComfyUI's own folder has them


@dataclass(frozen=True)
class Place:
    """A folder that is searched for one kind of model.

    Attributes
    ----------
    category : str
    folder : Path
        It need not exist.
    origin : str
        What names it: a configuration file, an environment variable.
    """

    category: Category
    folder: Path
    origin: str


def places() -> list[Place]:
    """All folders that are searched, in order; those of ComfyUI's `is_default` before the others of a file.

    A folder that the user has named is one like ComfyUI's `models`, or ComfyUI's own, with `models` in it.
    Its `extra_model_paths.yaml` counts too, and so does such a file that is named itself. A folder without
    any of the subfolders is searched for every kind.

    Raises
    ------
    FolderSettingsError
        If a file that names folders is wrong.
    """
    found = [place for named in named_places() for place in _places_of(named)]
    return list(dict.fromkeys(found))


def missing_places() -> list[Named]:
    """What the user has named and is not there. Raises FolderSettingsError."""
    return [named for named in named_places() if not named.path.exists()]


def _places_of(named: Named) -> Iterator[Place]:
    path = named.path
    if path.suffix.lower() in _YAML and path.is_file():
        yield from _in_yaml(path)
    elif path.is_dir():
        own = list(_subfolders(path, named.origin))
        root = path
        if not own and (path / _MODELS).is_dir():
            root = path / _MODELS
            own = list(_subfolders(root, named.origin))
        yield from own or [Place(category, root, named.origin) for category in CATEGORIES]
        extras = [path / _EXTRA] + ([path.parent / _EXTRA] if path.name == _MODELS else [])
        for extra in extras:
            if extra.is_file():
                yield from _in_yaml(extra)


def _subfolders(root: Path, origin: str) -> Iterator[Place]:
    for name, category in _FOLDERS:
        if (root / name).is_dir():
            yield Place(category, root / name, origin)


def _in_yaml(file: Path) -> Iterator[Place]:
    try:
        state = file.stat()
    except OSError as error:
        raise FolderSettingsError(f"{file} cannot be read: {error.strerror or error}.") from error
    yield from _read_yaml(file.absolute(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read_yaml(file: Path, modified: int, size: int) -> tuple[Place, ...]:
    """The places in a file like ComfyUI's extra_model_paths.yaml; read again when it has changed."""
    import yaml

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise FolderSettingsError(f"{file} cannot be read as YAML: {reason}.") from error
    if document is None:
        return ()
    if not isinstance(document, dict):
        raise FolderSettingsError(f"{file} is not a list of groups of folders, each with a name.")
    first: list[Place] = []
    others: list[Place] = []
    for group, settings in document.items():
        is_default, found = _group(file, str(group), settings)
        (first if is_default else others).extend(found)
    return (*first, *others)


def _group(file: Path, name: str, settings: Any) -> tuple[bool, list[Place]]:
    """The places of one group, and whether they come first. Kinds that are not used here are left out."""
    if settings is None:
        return False, []
    if not isinstance(settings, dict):
        raise FolderSettingsError(f"{file}: {name} is not a group of folders.")
    base = settings.get("base_path", "")
    if not isinstance(base, str):
        raise FolderSettingsError(f"{file}: {name}.base_path is not a folder.")
    root = file.parent / os.path.expandvars(os.path.expanduser(base))
    found = []
    for kind, folders in settings.items():
        category = _category(str(kind))
        if category is None:
            continue
        if not isinstance(folders, str):
            raise FolderSettingsError(
                f"{file}: {name}.{kind} is not a folder, or several on a line each after a bar (|)."
            )
        lines = (line.strip() for line in folders.split("\n"))
        found += [
            Place(category, Path(os.path.normpath(root / line)), f"{file}, {name}") for line in lines if line
        ]
    return bool(settings.get("is_default", False)), found


def _category(name: str) -> Category | None:
    if name in _OLD_NAMES:
        return _OLD_NAMES[name]
    return next((each for each in CATEGORIES if each == name), None)
