"""From a model's name to its files.

A name is `tiny`, `tiny-schnell` (the same without guidance, as schnell is), an alias (`schnell`, `dev`,
`krea-dev`; for Redux `dev-redux`), a Hugging Face repository (`org/name` or `org/name@revision`), a local
folder, or a single file. Resolving a name does not use the network; files are downloaded when a stage first
needs them, one part at a time.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.errors import CheckpointError, DownloadError, UnknownModelError
from run_graph.runtime.events import Listener, ignore
from run_graph.runtime.files.digests import content_digests, named_digest
from run_graph.runtime.models.components import (
    COMPONENTS,
    FLUX_COMPONENTS,
    FLUX_PARTS,
    REDUX_COMPONENTS,
    SCHEDULER_FOLDER,
    TOKENIZER_FOLDERS,
    TRANSFORMER_ONLY,
    Component,
)
from run_graph.runtime.models.fitting import faults_of
from run_graph.runtime.models.hub import cached, commit_of, fetch
from run_graph.runtime.models.inspection import faults, is_a_file, read_json
from run_graph.runtime.models.layouts.foreign import foreign_repository
from run_graph.runtime.models.permissions import check_path, download_fault, may_read
from run_graph.runtime.models.sources import (
    PUBLISHED_SIZES,
    WORDS,
    Source,
    file_networks,
    file_source,
    folder_source,
)
from run_graph.runtime.models.tiny import TINY_FOLDER, tiny_digest

TINY = "tiny"
TINY_SCHNELL = "tiny-schnell"

# mflux 0.24 pins the same revisions, so that both programs share one download.
FLUX_ALIASES = {
    "schnell": ("black-forest-labs/FLUX.1-schnell", "741f7c3ce8b383c54771c7003378a50191e9efe9"),
    "dev": ("black-forest-labs/FLUX.1-dev", "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21"),
    "krea-dev": ("black-forest-labs/FLUX.1-Krea-dev", "8162a9c7b05a641be098422bf2fcf335615c2f28"),
}
REDUX_ALIASES = {
    "dev-redux": ("black-forest-labs/FLUX.1-Redux-dev", "c95859fbf7703ca4d6824b4da4407d7cd0434f81"),
}

_REPOSITORY = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile("[0-9a-f]{40}")
_PATH_STARTS = ("./", "../", "/", "~", ".\\", "..\\")

UNGATED = "schnell"  # for which no licence has to be accepted
REDUX = "dev-redux"
# Their text encoders, tokenizers and autoencoder are the same.
_ALIKE = (UNGATED, "dev", "krea-dev")

Resolve = Callable[[str], "Checkpoint"]

_READ = (".json", ".safetensors", ".model", ".txt")  # suffixes of a model's files

_WEIGHTS = (".safetensors", ".sft", ".gguf")  # suffixes of single files

_LONG_PROMPT = 512  # T5 tokens for FLUX.1 dev and models derived from it
_SHORT_PROMPT = 256  # T5 tokens for schnell


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's files come from: a local folder, a Hub repository, single files, or (none) `tiny`.

    Attributes
    ----------
    name : str
    folder : Path or None
    repo, revision : str or None
    without_guidance : bool
        Whether the transformer's guidance embedder is left out and noise levels are not shifted, as in
        schnell.
    files : tuple
        Networks with the single files that hold them.
    rest : Checkpoint or None
        Where the parts come from that no single file holds, such as tokenizers.
    shifts : bool or None
        Whether noise levels are shifted, where the single file of a transformer tells it.
    """

    name: str
    folder: Path | None = None
    repo: str | None = None
    revision: str | None = None
    without_guidance: bool = False
    files: tuple[tuple[Component, Path], ...] = ()
    rest: Checkpoint | None = None
    shifts: bool | None = None

    @property
    def is_built_in(self) -> bool:
        """Whether this is `tiny`, which comes with the program."""
        return self.folder is None and self.repo is None and not self.files

    @property
    def identity(self) -> str:
        """A string that changes when the weights may have changed; the same in every process.

        For files and folders, a digest of their contents, which is the same on every machine.

        Raises
        ------
        CheckpointError
            If a file cannot be read.
        """
        parts = [self._own_identity]
        if self.shifts is not None:
            parts.append("shifted" if self.shifts else "not shifted")
        if self.rest is not None:
            parts.append(self.rest.identity)
        return " ".join(parts)

    @property
    def _own_identity(self) -> str:
        if self.files:
            return f"files:{_files_digest(self.files)}"
        if self.folder is not None:
            return f"folder:{_folder_digest(self.folder)}"
        if self.repo is not None:
            return f"hub:{self.repo}@{self.revision or 'main'}"
        return f"tiny:{tiny_digest()}{' without guidance' if self.without_guidance else ''}"

    def fingerprint(self) -> str:
        """The identity, with the commit that a repository's branch is known to be at."""
        branches = [
            str(commit_of(each.repo, each.revision))
            for each in (self, self.rest)
            if each is not None and each.repo is not None and not _COMMIT.fullmatch(each.revision or "")
        ]
        return " ".join([self.identity, *branches])

    def pinned(self) -> Checkpoint:
        """The same at the commit that a repository's branch is known to be at, so that none follows it."""
        rest = None if self.rest is None else self.rest.pinned()
        if self.repo is None or _COMMIT.fullmatch(self.revision or ""):
            return self if rest is self.rest else replace(self, rest=rest)
        return replace(self, rest=rest, revision=commit_of(self.repo, self.revision) or self.revision)

    def of(self, *parts: str) -> Checkpoint:
        """The checkpoint of some parts alone: without the files that hold none of them."""
        held = tuple((component, path) for component, path in self.files if component in parts)
        if not self.files:
            return self
        if not held and self.rest is not None:
            return replace(self.rest, shifts=self.shifts)
        whole = {component for component, _ in held} >= set(parts)
        return replace(self, files=held, rest=None if whole else self.rest)

    def holder(self, part: str) -> Checkpoint:
        """The checkpoint whose own files have the part: this one or its `rest`."""
        if self.rest is None or part in dict(self.files):
            return self
        return self.rest

    def holders(self, parts: Iterable[str]) -> dict[Checkpoint, list[str]]:
        """The checkpoints whose own files have the parts, each with those that it has."""
        found: dict[Checkpoint, list[str]] = {}
        for part in parts:
            found.setdefault(self.holder(part), []).append(part)
        return found

    def source(self, component: Component, on_event: Listener = ignore) -> Source:
        """Where the weights of a component are; downloads them if necessary, which `on_event` is told.

        Raises
        ------
        CheckpointError
            If they are missing or incomplete, or are another model's.
        DownloadError
            If they cannot be downloaded.
        """
        holder = self.holder(component)
        if not holder.files:
            return folder_source(holder.locate_complete(component, on_event=on_event) / component, component)
        path = dict(holder.files).get(component)
        source = None if path is None else file_source(path, component)
        if source is None:
            raise CheckpointError(holder._lacking(component))
        return source

    def local_source(self, component: Component) -> Source | None:
        """Where the weights of a component are on this machine; None if they are not, or not whole."""
        if self.holder(component).local_folder(component) is None:
            return None
        try:
            return self.source(component)
        except CheckpointError:
            return None

    def locate(self, *parts: str, on_event: Listener = ignore) -> Path:
        """The local folder that contains the named parts, none of them in a single file; downloads them if
        necessary.

        A download is reported to `on_event`.

        Raises
        ------
        CheckpointError
            If the checkpoint has no such parts.
        DownloadError
            If they cannot be downloaded.
        """
        if self.rest is not None:
            return self.rest.locate(*parts, on_event=on_event)
        if self.files:
            raise CheckpointError(self._lacking(parts[0]))
        if self.folder is not None:
            return self.folder
        if self.repo is not None:
            return fetch(self.repo, self.revision, parts, on_event)
        return TINY_FOLDER

    def missing(self, *parts: str) -> list[str]:
        """The parts that would have to be downloaded. Does not use the network."""
        return [
            part
            for holder, held in self.holders(parts).items()
            if holder.repo is not None
            for part in held
            if holder.local_folder(part) is None
        ]

    def local_folder(self, *parts: str) -> Path | None:
        """The local folder that contains the named parts complete, or None. Never downloads.

        Of parts in single files, the folder of the first.
        """
        if self.files:
            held: dict[str, Path] = dict(self.files)
            if self.rest is not None and held.keys().isdisjoint(parts):
                return self.rest.local_folder(*parts)
            return held[parts[0]].parent if held.keys() >= set(parts) else None
        if self.repo is not None:
            return cached(self.repo, self.revision, parts)
        folder = self.locate(*parts)
        return None if faults(folder, parts) else folder

    def locate_complete(self, *parts: str, on_event: Listener = ignore) -> Path:
        """Like `locate`, but raises CheckpointError, naming each fault, unless the files are complete."""
        folder = self.locate(*parts, on_event=on_event)
        if problems := faults(folder, parts):
            raise CheckpointError(" ".join(problems))
        return folder

    def faults(self, *parts: str) -> list[str]:
        """What is wrong with the named parts, as far as is known without a download."""
        return [fault for part in parts for fault in self.holder(part)._part_faults(part)]

    def _part_faults(self, part: str) -> list[str]:
        if self.folder is not None and (found := faults(self.folder, [part])):
            return found
        if self.files and part not in dict(self.files):
            return [self._lacking(part)]
        if self.repo is not None and (fault := download_fault(self.repo)) and self.local_folder(part) is None:
            return [fault]
        if part not in COMPONENTS or not (self.folder or self.files):
            return []
        try:
            return faults_of(self.source(part))
        except CheckpointError as error:
            return [str(error)]

    def _lacking(self, part: str) -> str:
        has = " and ".join(WORDS[component] for component, _ in self.files)
        what = next((words for component, words in WORDS.items() if component == part), f"no {part}")
        return f"{self.name} holds {has}, and not {what}. Name the file that holds it."


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


def shifts_sigmas(checkpoint: Checkpoint) -> bool:
    """Whether the noise schedule is shifted towards noise at larger sizes: dev yes, schnell no.

    This is read from `scheduler_config.json`. mflux saves models without that file; then it depends on
    whether the transformer has a guidance embedder. Among FLUX.1's models only schnell has none. For single
    files it depends on that alone.
    """
    if checkpoint.without_guidance:
        return False
    if checkpoint.shifts is not None:
        return checkpoint.shifts
    try:
        folder = checkpoint.locate(SCHEDULER_FOLDER)
        config = read_json(folder / SCHEDULER_FOLDER / "scheduler_config.json")
    except DownloadError:  # a repository made with mflux-save has no scheduler
        if checkpoint.local_folder("transformer") is None:
            return "schnell" not in (checkpoint.repo or "").lower()
        config = {}
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if "use_dynamic_shifting" in config:
        return bool(config["use_dynamic_shifting"])
    source = checkpoint.local_source("transformer")
    return True if source is None else source.has_guidance()


def base_model(checkpoint: Checkpoint) -> str:
    """The FLUX.1 model that a checkpoint is or is derived from: `schnell`, `dev` or `krea-dev`.

    Krea-dev is recognised by its repository only, since its files look like dev's.
    """
    known = (alias for alias, (repo, _) in FLUX_ALIASES.items() if repo == checkpoint.repo)
    return next(known, "dev" if shifts_sigmas(checkpoint) else "schnell")


def max_text_tokens(checkpoint: Checkpoint) -> int:
    """How many T5 tokens a prompt is padded or cut to: 512, or 256 for schnell.

    A smaller `model_max_length` of the tokenizer lowers it.
    """
    limit = _LONG_PROMPT if shifts_sigmas(checkpoint) else _SHORT_PROMPT
    folder = checkpoint.locate(TOKENIZER_FOLDERS["t5"])
    try:
        config = read_json(folder / TOKENIZER_FOLDERS["t5"] / "tokenizer_config.json")
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    stated = config.get("model_max_length")
    return min(limit, stated) if isinstance(stated, int) and stated > 0 else limit


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


def _files_digest(files: Sequence[tuple[Component, Path]]) -> str:
    """A digest of what networks the files hold and of their contents."""
    try:
        contents = content_digests(path for _, path in files)
    except OSError as error:
        raise CheckpointError(f"A model cannot be read: {error}.") from error
    named = sorted(
        f"{component}\0{content}\n" for (component, _), content in zip(files, contents, strict=True)
    )
    return hashlib.sha256("".join(named).encode()).hexdigest()[:32]


def _folder_digest(folder: Path) -> str:
    """A digest of the files that a component or a tokenizer may be read from."""
    files = (path for path in (*folder.glob("*/*"), *folder.glob("*.json")) if path.suffix in _READ)
    named = {path.relative_to(folder).as_posix(): path for path in files if is_a_file(path)}
    try:
        return named_digest(named)
    except OSError as error:
        raise CheckpointError(f"The model folder {folder} cannot be read: {error}.") from error
