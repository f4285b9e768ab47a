"""From the name that a workflow gives a model to the file in the user's folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from run_graph.graph.faults import listed
from run_graph.runtime.errors import UnknownModelError
from run_graph.runtime.models.components import COMPONENTS
from run_graph.runtime.models.library.places import CATEGORIES, Category, Place, places

SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
"""Of the files that ComfyUI takes for models. Which of them can be read is found out when they are."""

_DESCRIPTIONS = ("config.json", "model.safetensors.index.json")  # of diffusers and mflux
_SHOWN = 8  # files that a message lists of a folder


@dataclass(frozen=True)
class FoundFile:
    """A file in one of the folders, or the folder of a whole model in diffusers' layout or mflux's.

    Attributes
    ----------
    name : str
        Relative to the folder, with ``/``: what ComfyUI's workflows call it.
    path : Path
    category : str
        The kind of folder that it lies in.
    """

    name: str
    path: Path
    category: Category


def files(*categories: Category) -> Iterator[FoundFile]:
    """The files and models' folders of these kinds (default: all), each once, in the order of the places.

    The disk is read again at each call. Raises FolderSettingsError.
    """
    wanted = categories or CATEGORIES
    seen: set[Path] = set()
    for place in places():
        if place.category in wanted:
            for found in _in_place(place):
                if found.path not in seen:
                    seen.add(found.path)
                    yield found


def find(name: str, first: Sequence[Category], *, elsewhere: bool = True) -> FoundFile | None:
    """The file that a workflow calls `name`; None if there is none.

    Folders of the kinds in `first` come before all others, which are searched if `elsewhere` is true. Letter
    case does not count, backslashes are separators, and the suffix may be left out. A name with subfolders
    means the file in that subfolder or, if there is none, the file that has its last part for a name; a name
    without subfolders means the one at the top or, if there is none, the one in a subfolder.

    Raises
    ------
    UnknownModelError
        If several subfolders of a kind have such a file, and none is meant more than the others.
    FolderSettingsError
    """
    wanted = _simplified(name)
    if not wanted or ".." in PurePosixPath(wanted).parts:
        return None
    others = [each for each in CATEGORIES if each not in first] if elsewhere else []
    for categories in (first, others):
        candidates = list(files(*categories)) if categories else []
        for matches in (_same_place(wanted, candidates), _same_file_name(wanted, candidates)):
            if matches:
                return _only(name, matches)
    return None


def what_is_there(categories: Sequence[Category], *, elsewhere: bool = True) -> str:
    """For a message: the folders of these kinds and their files, or how to name folders.

    With `elsewhere`, all other folders have been searched too.
    """
    searched = places()
    if not searched:
        return "No folder of models is named: see --models-dir"
    folders = dict.fromkeys(place.folder for place in searched if place.category in categories)
    names = {
        folder: [each.name for each in _in_place(Place(categories[0], folder, ""))] for folder in folders
    }
    told = [f"{folder} ({_contents(folder, sorted(held))})" for folder, held in names.items()]
    others = len({place.folder for place in searched} - set(folders))
    if others and elsewhere:
        told.append(f"{others} other folder{'' if others == 1 else 's'} of models")
    return f"Looked in {'; '.join(told)}" if told else "No folder of this kind of model is there"


def _contents(folder: Path, names: list[str]) -> str:
    if not folder.is_dir():
        return "which is not there"
    return listed(names, _SHOWN) if names else "which has no model files"


def _in_place(place: Place) -> Iterator[FoundFile]:
    """Files in a folder and its subfolders, by name; links are followed, but never in a circle.

    The folder of a model is found in place of its files.
    """
    visited: set[str] = set()
    for folder, subfolders, names in os.walk(place.folder, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        inside = sorted(each for each in subfolders if not each.startswith("."))
        models = [each for each in inside if _is_model(Path(folder) / each)]
        subfolders[:] = [each for each in inside if each not in models]
        single = [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        for name in [*models, *sorted(single)]:
            path = Path(folder) / name
            yield FoundFile(path.relative_to(place.folder).as_posix(), path, place.category)


def _is_model(folder: Path) -> bool:
    """Whether a folder holds a model's networks, each in a folder of its own with what describes it."""
    return any((folder / each / name).is_file() for each in COMPONENTS for name in _DESCRIPTIONS)


def _simplified(name: str) -> str:
    return PurePosixPath(name.strip().replace("\\", "/")).as_posix().strip("/").casefold()


def _same_place(wanted: str, candidates: Iterable[FoundFile]) -> list[FoundFile]:
    """The first file that lies where the name says, in whatever letter case."""
    return [found for found in candidates if _matches(found.name.casefold(), wanted)][:1]


def _same_file_name(wanted: str, candidates: Iterable[FoundFile]) -> list[FoundFile]:
    last = PurePosixPath(wanted).name
    return [found for found in candidates if _matches(PurePosixPath(found.name).name.casefold(), last)]


def _matches(held: str, wanted: str) -> bool:
    return held == wanted or (
        not wanted.endswith(SUFFIXES)
        and held.startswith(f"{wanted}.")
        and held.removeprefix(wanted) in SUFFIXES
    )


def _only(name: str, matches: Sequence[FoundFile]) -> FoundFile:
    paths = {os.path.realpath(found.path) for found in matches}
    if len(paths) > 1:
        raise UnknownModelError(
            f"{name!r} is in several folders: {listed([str(found.path) for found in matches])}. Name its "
            "subfolder too."
        )
    return matches[0]
