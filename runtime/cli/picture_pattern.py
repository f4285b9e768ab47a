"""Patterns and folders in the place of a picture: ``--sweep photo.image='refs/*.jpg'``."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from run_graph.graph.faults import Fault, WorkflowError, shorten

_MAGIC = frozenset("*?[")


def pictures_named(name: str, folders: Sequence[Path], where: str) -> list[str]:
    """The pictures that a name means, sorted: those that a pattern matches, those in a folder, or the one.

    Parameters
    ----------
    name : str
        As typed. ``*``, ``?``, ``[...]`` and ``**`` as in a shell, unless there is a file of just this name.
    folders : sequence of Path
        Where relative names are looked for, in order; the first folder that has any wins.
    where : str
        The option and the setting, with which messages begin.

    Returns
    -------
    list of str
        Relative where the name is.

    Raises
    ------
    WorkflowError
        If a pattern matches no file, or a folder has no picture.
    """
    typed = os.path.expanduser(name)
    if not name or any((folder / typed).is_file() for folder in folders):
        return [name]
    is_folder = any((folder / typed).is_dir() for folder in folders)
    if not (is_folder or _MAGIC & set(name)):
        return [name]  # a file that is missing, which validation reports
    for folder in folders:
        found = _pictures_in(folder, typed) if is_folder else _matches(folder, typed)
        if found:
            return found
    what = f"the folder {shorten(name)} has no pictures" if is_folder else f"no file matches {shorten(name)}"
    looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    fix = f"Looked in {looked}." if not os.path.isabs(typed) else "Check the path."
    raise WorkflowError([Fault("bad_sweep", f"{where}: {what}", fix)])


def _matches(folder: Path, pattern: str) -> list[str]:
    found = glob.glob(pattern, root_dir=folder, recursive=True)
    return sorted(name for name in found if (folder / name).is_file())


def _pictures_in(folder: Path, name: str) -> list[str]:
    """The pictures in a folder by their suffixes, without hidden files and subfolders."""
    suffixes = _suffixes()
    return [
        match
        for match in _matches(folder, os.path.join(glob.escape(name), "*"))
        if os.path.splitext(match)[1].lower() in suffixes
    ]


def _suffixes() -> set[str]:
    from PIL import Image

    from run_graph.runtime.images.reading import FORMATS

    return {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
