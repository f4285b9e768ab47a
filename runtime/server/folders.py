"""The folders that a server reads and writes, and the paths in them that a client may name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.files.bounds import Bounds, OutOfBoundsError
from run_graph.runtime.files.inputs import find_input
from run_graph.runtime.files.temporary import PREFIX as TEMPORARY
from run_graph.runtime.images.formats import PICTURE_SUFFIXES
from run_graph.runtime.models.permissions import ModelRules, may_read
from run_graph.runtime.server.model_names import known_models, model_rules
from run_graph.runtime.server.settings import ServerSettings

# Where PreviewImage writes, within the output folder. ComfyUI's clients call it "temp".
_PREVIEWS = "preview"
_ANNOTATED = re.compile(r"(?P<name>.*) \[(?P<kind>input|output|temp)\]", re.DOTALL)
_LISTED = 20_000  # names in a choice of the editor


class OutsideError(PermissionError):
    """A client names a path that leads out of the folder it belongs to."""


@dataclass(frozen=True)
class Folders:
    """The folders of a server.

    Attributes
    ----------
    input, output, user : Path
    models : tuple of Path
        The folders of models that the server was given.
    examples : Path
        The shipped workflows, whose pictures are found like uploads.
    any_download : bool
        Whether prompts may have any repository downloaded.
    """

    input: Path
    output: Path
    user: Path
    models: tuple[Path, ...]
    examples: Path
    any_download: bool = False

    @classmethod
    def of(cls, settings: ServerSettings, examples: Path) -> Folders:
        """The folders that the settings name; those that are written into are made."""
        folders = cls(
            input=Path(os.path.abspath(settings.input)),
            output=Path(os.path.abspath(settings.output)),
            user=Path(os.path.abspath(settings.user)),
            models=tuple(Path(os.path.abspath(folder)) for folder in settings.models),
            examples=examples,
            any_download=settings.allow_downloads,
        )
        for folder in (folders.input, folders.output, folders.user):
            folder.mkdir(parents=True, exist_ok=True)
        return folders

    @property
    def temp(self) -> Path:
        """Where previews are."""
        return self.output / _PREVIEWS

    def kind(self, name: str) -> Path | None:
        """The folder that clients call ``input``, ``output`` or ``temp``."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(name)

    def reference(self, path: str) -> dict[str, str]:
        """How clients name a file that a node has written: ``filename``, ``subfolder`` and ``type``."""
        real = os.path.realpath(path)
        for kind, folder in (("temp", self.temp), ("output", self.output), ("input", self.input)):
            root = os.path.realpath(folder)
            if real.startswith(root + os.sep):
                subfolder, name = os.path.split(os.path.relpath(real, root))
                return {"filename": name, "subfolder": subfolder.replace(os.sep, "/"), "type": kind}
        return {"filename": os.path.basename(real), "subfolder": "", "type": "output"}

    def files(self, kind: str) -> list[str]:
        """The names that are offered for an input that takes a file of this kind."""
        if kind == "input":
            own = _names(self.input, PICTURE_SUFFIXES)
            return list(dict.fromkeys([*own, *_names(self.examples, PICTURE_SUFFIXES)]))
        if kind == "output":
            return [f"{name} [output]" for name in _names(self.output, PICTURE_SUFFIXES)]
        if kind == "latents":
            return _names(self.input, (".latent",))
        return known_models(kind)

    def rules(self) -> ModelRules:
        """Which models served prompts may use."""
        return model_rules(self.models, any_download=self.any_download)

    @cached_property
    def environment(self) -> ServedEnvironment:
        """Where served prompts read and write."""
        bounds = Bounds((self.input, self.output, self.examples))
        return ServedEnvironment([self.input, self.examples], self.output, bounds, folders=self)


@dataclass(frozen=True)
class ServedEnvironment(RunEnvironment):
    """Where a served prompt reads and writes: in the server's folders only.

    A name may end in `` [input]``, `` [output]`` or `` [temp]``, which says where the file is.
    """

    folders: Folders | None = None

    def with_extra(self, extra: Mapping[str, Any]) -> ServedEnvironment:
        """The same for a prompt with this ``extra_data``: its pictures carry the ``extra_pnginfo`` in it."""
        documents = extra.get("extra_pnginfo")
        return replace(self, documents=dict(documents) if isinstance(documents, dict) else {})

    def find_input(self, name: str) -> Path:
        assert self.folders is not None
        match = _ANNOTATED.fullmatch(name)
        if match is None:
            return self._within(name, list(self.input_directories))
        folder = self.folders.kind(match["kind"])
        searched = [folder] if folder and match["kind"] != "input" else list(self.input_directories)
        return self._within(match["name"], searched)

    def find_model(self, name: str) -> Path:
        assert self.folders is not None
        if not any(may_read(folder / os.path.expanduser(name)) for folder in self.folders.models):
            raise OutOfBoundsError(f"{name!r} is outside the server's folders of models")
        return find_input(name, self.folders.models)

    def _within(self, name: str, searched: list[Path]) -> Path:
        assert self.bounds is not None
        # What leads out is refused before it is looked for: whether such a file exists is nobody's business.
        wanted = [folder / os.path.expanduser(name) for folder in searched]
        if "\0" in name or not any(map(self.bounds.cover, wanted)):
            raise OutOfBoundsError(f"{name!r} is outside the server's folders; upload the file first")
        path = find_input(name, searched)
        if not self.bounds.cover(path):
            raise OutOfBoundsError(f"{name!r} leads outside the server's folders; upload the file first")
        return path


def within(root: Path, *parts: str) -> Path:
    """A path below a folder, named by a client. It need not exist.

    Raises
    ------
    OutsideError
        If it leads out of the folder, also through a symbolic link, or is no path at all.
    """
    if any("\0" in part or part.startswith(("/", "\\", "~")) for part in parts):
        raise OutsideError("the path is not relative to its folder")
    path = root.joinpath(*parts)
    try:
        inside = ".." not in Path(*parts).parts if parts else True
        inside = inside and _is_below(path, root)
        os.fsencode(path)
    except (ValueError, OSError):
        raise OutsideError("the path cannot be one") from None
    if not inside:
        raise OutsideError("the path leads outside its folder")
    return path


def walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All files below a folder with their paths relative to it, sorted; symbolic links are left out."""
    pending = [""]
    while pending:
        place = pending.pop()
        with contextlib.suppress(OSError):
            entries = sorted(os.scandir(folder / place), key=lambda entry: entry.name)
            for entry in entries:
                name = f"{place}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{name}/")
                elif entry.is_file() and not entry.name.startswith(TEMPORARY):
                    yield name, entry


def _names(folder: Path, suffixes: tuple[str, ...] | frozenset[str]) -> list[str]:
    found: list[str] = []
    for name, _ in walk(folder):
        if name.lower().endswith(tuple(suffixes)) and len(found) < _LISTED:
            found.append(name)
    return sorted(found)


def _is_below(path: Path | str, folder: Path) -> bool:
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
