"""From a model's name to its checkpoint.

A name is `tiny`, `tiny-schnell` (the same without guidance, as schnell is), an alias (`schnell`, `dev`,
`krea-dev`; for Redux `dev-redux`), a Hugging Face repository (`org/name` or `org/name@revision`), a local
folder, or a single file. Resolving a name does not use the network.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.errors import CheckpointError, UnknownModelError
from run_graph.runtime.models.aliases import FLUX_ALIASES, REDUX, REDUX_ALIASES, TINY, TINY_SCHNELL, UNGATED
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import (
    COMPONENTS,
    FLUX_COMPONENTS,
    FLUX_PARTS,
    REDUX_COMPONENTS,
    TOKENIZER_FOLDERS,
    TRANSFORMER_ONLY,
    Component,
)
from run_graph.runtime.models.inspection import is_a_file
from run_graph.runtime.models.layouts.foreign import foreign_repository
from run_graph.runtime.models.permissions import check_path, may_read
from run_graph.runtime.models.sources import PUBLISHED_SIZES, WORDS, file_networks, file_source

Resolve = Callable[[str], Checkpoint]

_REPOSITORY = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_PATH_STARTS = ("./", "../", "/", "~", ".\\", "..\\")
_WEIGHTS = (".safetensors", ".sft", ".gguf")  # suffixes of single files

# Their text encoders, tokenizers and autoencoder are the same.
_ALIKE = (UNGATED, "dev", "krea-dev")


def resolve_flux(name: str) -> Checkpoint:
    """The checkpoint that `LoadFlux(model=name)` means. Raises UnknownModelError."""
    return _resolve(name, _FLUX, _REDUX)


def resolve_redux(name: str) -> Checkpoint:
    """The checkpoint that `LoadRedux(model=name)` means. Raises UnknownModelError."""
    return _resolve(name, _REDUX, _FLUX)


def file_called(name: str) -> Path | None:
    """The file that a name means, which may be relative; None if there is no such file.

    Raises
    ------
    UnknownModelError
        If it is a path that may not be used (:mod:`runtime.models.permissions`).
    """
    path = Path(name).expanduser()
    if is_path(name):
        check_path(path)
    return path if name and may_read(path) and path.is_file() else None


def is_path(name: str) -> bool:
    """Whether a name can only be that of a place on this machine."""
    return name.startswith(_PATH_STARTS) or Path(name).is_absolute()


class _Family(NamedTuple):
    """Models that one node loads: built in or with an alias, or a file that holds what the node needs."""

    name: str
    node: str
    built_in: dict[str, Checkpoint]
    aliases: dict[str, tuple[str, str]]
    needs: tuple[Component, ...]
    components: tuple[Component, ...]

    @property
    def names(self) -> list[str]:
        return [*self.built_in, *self.aliases]


_BUILT_IN = {TINY: Checkpoint(TINY), TINY_SCHNELL: Checkpoint(TINY_SCHNELL, without_guidance=True)}
_FLUX = _Family("FLUX", "LoadFlux", _BUILT_IN, FLUX_ALIASES, TRANSFORMER_ONLY, FLUX_COMPONENTS)
_REDUX = _Family(
    "Redux", "LoadRedux", {TINY: _BUILT_IN[TINY]}, REDUX_ALIASES, REDUX_COMPONENTS, REDUX_COMPONENTS
)


def _resolve(name: str, family: _Family, other: _Family) -> Checkpoint:
    name = name.strip()
    if name in family.built_in:
        return family.built_in[name]
    if name in family.aliases:
        repo, revision = family.aliases[name]
        return Checkpoint(name, repo=repo, revision=revision)
    path = Path(name).expanduser()
    if (file := file_called(name)) is not None:
        return _of_family(from_files(name, [file]), family)
    if name and (is_path(name) or (may_read(path) and path.is_dir())):
        folder = _existing_folder(path)
        if files := _single_files(folder):
            return _of_family(from_files(name, files, family.components), family)
        return Checkpoint(name, folder=folder)
    if match := _REPOSITORY.fullmatch(name):
        if (says := foreign_repository(match["repo"])) is not None:
            raise UnknownModelError(f"{match['repo']} {says}")
        pinned = dict(family.aliases.values()).get(match["repo"])
        return Checkpoint(name, repo=match["repo"], revision=match["revision"] or pinned)
    raise UnknownModelError(_unknown(name, family, other))


def from_files(
    name: str, paths: Sequence[Path], components: Collection[Component] = COMPONENTS
) -> Checkpoint:
    """The checkpoint whose networks are in single files; what they lack comes from a published model.

    Parameters
    ----------
    name
        For messages and records.
    paths
        Files of one network or several, such as an autoencoder's, or a whole model's.
    components
        The networks that are wanted of them; others do not count.

    Raises
    ------
    CheckpointError
        If a file cannot be read or is not FLUX.1's, or if two files hold the same network.
    """
    held: dict[Component, Path] = {}
    sizes: dict[Component, int] = {}
    for path in paths:
        for found in file_networks(path):
            if found.component not in components:
                continue
            if (other := held.setdefault(found.component, path)) != path:
                raise CheckpointError(
                    f"{other} and {path} both hold {WORDS[found.component]}. Name one of them."
                )
            sizes[found.component] = found.size
    files = tuple((component, path.resolve()) for component, path in held.items())
    is_tiny = any(size != PUBLISHED_SIZES[component] for component, size in sizes.items())
    if not sizes.keys() & set(FLUX_COMPONENTS):
        return Checkpoint(name, files=files, rest=_BUILT_IN[TINY] if is_tiny else resolve_redux(REDUX))
    source = file_source(held["transformer"], "transformer") if "transformer" in held else None
    shifts = None if source is None else source.has_guidance()
    lacking = [part for part in FLUX_PARTS if part not in held and part != "transformer"]
    rest = replace(_BUILT_IN[TINY] if is_tiny else shared_parts(lacking), shifts=shifts)
    return Checkpoint(name, files=files, rest=rest, shifts=shifts)


def _of_family(checkpoint: Checkpoint, family: _Family) -> Checkpoint:
    """The checkpoint, unless it lacks what makes it a model of the family."""
    held = dict(checkpoint.files)
    if held.keys().isdisjoint(family.needs):
        has = " and ".join(WORDS[component] for component in held) or "other networks"
        needed = " or ".join(WORDS[component] for component in family.needs)
        raise CheckpointError(f"{checkpoint.name} holds {has}; {family.node} needs the file of {needed}.")
    return checkpoint


def shared_parts(parts: Sequence[str]) -> Checkpoint:
    """A published model that has these parts, which are the same in all of FLUX.1's, but not the transformer.

    One that is on this machine, if there is one; else schnell. Does not use the network.
    """
    models = [resolve_flux(alias) for alias in _ALIKE]
    return next((model for model in models if model.local_folder(*parts) is not None), models[0])


def _existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise UnknownModelError(f"The model folder {path} does not exist.")
    return path.resolve()


def _single_files(folder: Path) -> list[Path]:
    """The files of a folder that holds a model's single files, and no component's folder; else none."""
    if any((folder / part).is_dir() for part in (*COMPONENTS, *TOKENIZER_FOLDERS.values())):
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS and is_a_file(path))


def _unknown(name: str, family: _Family, other: _Family) -> str:
    if name in other.names:
        hint = f"{name} belongs in {other.node}; here use {' or '.join(family.names)}."
    elif near := difflib.get_close_matches(name.lower(), family.names, n=1):
        hint = f"Did you mean {near[0]!r}?"
    else:
        hint = f"Known names are {', '.join(family.names)}."
    also = "A Hugging Face repository (org/name) or a local folder also works."
    return f"There is no {family.name} model {name!r}. {hint} {also}"
