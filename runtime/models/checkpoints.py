"""From a model's name to its files.

A name is `tiny`, an alias (`schnell`, `dev`, `krea-dev`; for Redux `dev-redux`), a Hugging Face
repository (`org/name` or `org/name@revision`), or a local folder. Resolving a name does not use the
network; files are downloaded when a stage first needs them, one part at a time.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.errors import CheckpointError, DownloadError, UnknownModelError
from run_graph.runtime.events import Listener, ignore
from run_graph.runtime.files.digests import named_digest
from run_graph.runtime.models.components import SCHEDULER_FOLDER, TOKENIZER_FOLDERS
from run_graph.runtime.models.hub import cached, fetch
from run_graph.runtime.models.inspection import faults, is_a_file, read_json, tensors
from run_graph.runtime.models.tiny import TINY_FOLDER, tiny_digest

TINY = "tiny"

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
_PATH_STARTS = ("./", "../", "/", "~", ".\\", "..\\")

_READ = (".json", ".safetensors", ".model", ".txt")  # suffixes of a model's files

_LONG_PROMPT = 512  # T5 tokens for FLUX.1 dev and models derived from it
_SHORT_PROMPT = 256  # T5 tokens for schnell


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's files come from: a local folder, a Hub repository, or (neither) `tiny`."""

    name: str
    folder: Path | None = None
    repo: str | None = None
    revision: str | None = None

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
        return f"tiny:{tiny_digest()}"

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
    return _resolve(name, "FLUX", FLUX_ALIASES, "LoadRedux", REDUX_ALIASES)


def resolve_redux(name: str) -> Checkpoint:
    """The checkpoint that `LoadRedux(model=name)` means. Raises UnknownModelError."""
    return _resolve(name, "Redux", REDUX_ALIASES, "LoadFlux", FLUX_ALIASES)


def shifts_sigmas(checkpoint: Checkpoint) -> bool:
    """Whether the noise schedule is shifted towards noise at larger sizes: dev yes, schnell no.

    This is read from `scheduler_config.json`. mflux saves models without that file; then it depends on
    whether the transformer has a guidance embedder. Among FLUX.1's models only schnell has none.
    """
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


Aliases = dict[str, tuple[str, str]]


def _resolve(name: str, family: str, aliases: Aliases, other_node: str, others: Aliases) -> Checkpoint:
    name = name.strip()
    if name == TINY:
        return Checkpoint(name)
    if name in aliases:
        repo, revision = aliases[name]
        return Checkpoint(name, repo=repo, revision=revision)
    path = Path(name).expanduser()
    if name and (name.startswith(_PATH_STARTS) or path.is_absolute() or path.is_dir()):
        return Checkpoint(name, folder=_existing_folder(path))
    if match := _REPOSITORY.fullmatch(name):
        pinned = dict(aliases.values()).get(match["repo"])
        return Checkpoint(name, repo=match["repo"], revision=match["revision"] or pinned)
    raise UnknownModelError(_unknown(name, family, aliases, other_node, others))


def _existing_folder(path: Path) -> Path:
    if path.is_file():
        raise UnknownModelError(f"{path} is a file; give the folder of a model in diffusers' layout.")
    if not path.is_dir():
        raise UnknownModelError(f"The model folder {path} does not exist.")
    return path.resolve()


def _unknown(name: str, family: str, aliases: Aliases, other_node: str, others: Aliases) -> str:
    known = [TINY, *aliases]
    if name in others:
        hint = f"{name} belongs in {other_node}; here use {' or '.join(known)}."
    elif near := difflib.get_close_matches(name.lower(), known, n=1):
        hint = f"Did you mean {near[0]!r}?"
    else:
        hint = f"Known names are {', '.join(known)}."
    also = "A Hugging Face repository (org/name) or a local folder also works."
    return f"There is no {family} model {name!r}. {hint} {also}"


def _folder_digest(folder: Path) -> str:
    """A digest of the files that a component or a tokenizer may be read from."""
    files = (path for path in (*folder.glob("*/*"), *folder.glob("*.json")) if path.suffix in _READ)
    named = {path.relative_to(folder).as_posix(): path for path in files if is_a_file(path)}
    try:
        return named_digest(named)
    except OSError as error:
        raise CheckpointError(f"The model folder {folder} cannot be read: {error}.") from error
