"""From a model's name to its files.

A name is `tiny`, `tiny-schnell` (the same without guidance, as schnell is), an alias (`schnell`, `dev`,
`krea-dev`; for Redux `dev-redux`), a Hugging Face repository (`org/name` or `org/name@revision`), or a local
folder. Resolving a name does not use the network; files are downloaded when a stage first needs them, one
part at a time.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.errors import CheckpointError, DownloadError, UnknownModelError
from run_graph.runtime.events import Listener, ignore
from run_graph.runtime.files.digests import named_digest
from run_graph.runtime.models.components import SCHEDULER_FOLDER, TOKENIZER_FOLDERS
from run_graph.runtime.models.hub import cached, commit_of, fetch
from run_graph.runtime.models.inspection import faults, is_a_file, read_json, tensors
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

_READ = (".json", ".safetensors", ".model", ".txt")  # suffixes of a model's files

_LONG_PROMPT = 512  # T5 tokens for FLUX.1 dev and models derived from it
_SHORT_PROMPT = 256  # T5 tokens for schnell


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's files come from: a local folder, a Hub repository, or (neither) `tiny`.

    Attributes
    ----------
    name : str
    folder : Path or None
    repo, revision : str or None
    without_guidance : bool
        Whether the transformer's guidance embedder is left out and noise levels are not shifted, as in
        schnell.
    """

    name: str
    folder: Path | None = None
    repo: str | None = None
    revision: str | None = None
    without_guidance: bool = False

    @property
    def identity(self) -> str:
        """A string that changes when the weights may have changed; the same in every process.

        For a folder, a digest of the names and contents of its files, which is the same on every machine.

        Raises
        ------
        CheckpointError
            If a file of the folder cannot be read.
        """
        if self.folder is not None:
            return f"folder:{_folder_digest(self.folder)}"
        if self.repo is not None:
            return f"hub:{self.repo}@{self.revision or 'main'}"
        return f"tiny:{tiny_digest()}{' without guidance' if self.without_guidance else ''}"

    def fingerprint(self) -> str:
        """The identity, with the commit that a repository's branch is known to be at."""
        if self.repo is None or _COMMIT.fullmatch(self.revision or ""):
            return self.identity
        return f"{self.identity} {commit_of(self.repo, self.revision)}"

    def locate(self, *parts: str, on_event: Listener = ignore) -> Path:
        """The local folder that contains the named parts; downloads them if necessary.

        A download is reported to `on_event`.

        Raises
        ------
        DownloadError
            If they cannot be downloaded.
        """
        if self.folder is not None:
            return self.folder
        if self.repo is not None:
            return fetch(self.repo, self.revision, parts, on_event)
        return TINY_FOLDER

    def missing(self, *parts: str) -> list[str]:
        """The parts that would have to be downloaded. Does not use the network."""
        return [] if self.repo is None else [part for part in parts if self.local_folder(part) is None]

    def local_folder(self, *parts: str) -> Path | None:
        """The local folder that contains the named parts complete, or None. Never downloads."""
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
        return faults(self.folder, parts) if self.folder is not None else []


def resolve_flux(name: str) -> Checkpoint:
    """The checkpoint that `LoadFlux(model=name)` means. Raises UnknownModelError."""
    return _resolve(name, _FLUX, _REDUX)


def resolve_redux(name: str) -> Checkpoint:
    """The checkpoint that `LoadRedux(model=name)` means. Raises UnknownModelError."""
    return _resolve(name, _REDUX, _FLUX)


def is_path(name: str) -> bool:
    """Whether a name can only be that of a place on this machine."""
    return name.startswith(_PATH_STARTS) or Path(name).is_absolute()


def shifts_sigmas(checkpoint: Checkpoint) -> bool:
    """Whether the noise schedule is shifted towards noise at larger sizes: dev yes, schnell no.

    This is read from `scheduler_config.json`. mflux saves models without that file; then it depends on
    whether the transformer has a guidance embedder. Among FLUX.1's models only schnell has none.
    """
    if checkpoint.without_guidance:
        return False
    try:
        folder = checkpoint.locate(SCHEDULER_FOLDER)
        config = read_json(folder / SCHEDULER_FOLDER / "scheduler_config.json")
    except DownloadError:  # a repository made with mflux-save has no scheduler
        local = checkpoint.local_folder("transformer")
        if local is None:
            return "schnell" not in (checkpoint.repo or "").lower()
        folder, config = local, {}
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if "use_dynamic_shifting" in config:
        return bool(config["use_dynamic_shifting"])
    names = tensors(folder / "transformer")
    return any("guidance_embedder" in name for name in names) if names else True


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
    """Models that one node loads: those that are built in, and those with an alias."""

    name: str
    node: str
    built_in: dict[str, Checkpoint]
    aliases: dict[str, tuple[str, str]]

    @property
    def names(self) -> list[str]:
        return [*self.built_in, *self.aliases]


_BUILT_IN = {TINY: Checkpoint(TINY), TINY_SCHNELL: Checkpoint(TINY_SCHNELL, without_guidance=True)}
_FLUX = _Family("FLUX", "LoadFlux", _BUILT_IN, FLUX_ALIASES)
_REDUX = _Family("Redux", "LoadRedux", {TINY: _BUILT_IN[TINY]}, REDUX_ALIASES)


def _resolve(name: str, family: _Family, other: _Family) -> Checkpoint:
    name = name.strip()
    if name in family.built_in:
        return family.built_in[name]
    if name in family.aliases:
        repo, revision = family.aliases[name]
        return Checkpoint(name, repo=repo, revision=revision)
    path = Path(name).expanduser()
    if name and (is_path(name) or path.is_dir()):
        return Checkpoint(name, folder=_existing_folder(path))
    if match := _REPOSITORY.fullmatch(name):
        pinned = dict(family.aliases.values()).get(match["repo"])
        return Checkpoint(name, repo=match["repo"], revision=match["revision"] or pinned)
    raise UnknownModelError(_unknown(name, family, other))


def _existing_folder(path: Path) -> Path:
    if path.is_file():
        raise UnknownModelError(f"{path} is a file; give the folder of a model in diffusers' layout.")
    if not path.is_dir():
        raise UnknownModelError(f"The model folder {path} does not exist.")
    return path.resolve()


def _unknown(name: str, family: _Family, other: _Family) -> str:
    if name in other.names:
        hint = f"{name} belongs in {other.node}; here use {' or '.join(family.names)}."
    elif near := difflib.get_close_matches(name.lower(), family.names, n=1):
        hint = f"Did you mean {near[0]!r}?"
    else:
        hint = f"Known names are {', '.join(family.names)}."
    also = "A Hugging Face repository (org/name) or a local folder also works."
    return f"There is no {family.name} model {name!r}. {hint} {also}"


def _folder_digest(folder: Path) -> str:
    """A digest of the files that a component or a tokenizer may be read from."""
    files = (path for path in (*folder.glob("*/*"), *folder.glob("*.json")) if path.suffix in _READ)
    named = {path.relative_to(folder).as_posix(): path for path in files if is_a_file(path)}
    try:
        return named_digest(named)
    except OSError as error:
        raise CheckpointError(f"The model folder {folder} cannot be read: {error}.") from error
