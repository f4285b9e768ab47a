"""Where a model's files are; they are downloaded when a stage first needs them, one part at a time.

`resolution.py` makes a checkpoint of a model's name; `checkpoint_facts.py` says what else its files tell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.events import Listener, ignore
from run_graph.runtime.files.digests import content_digests, named_digest
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.fitting import faults_of
from run_graph.runtime.models.hub import cached, commit_of, fetch
from run_graph.runtime.models.inspection import faults, is_a_file
from run_graph.runtime.models.permissions import download_fault
from run_graph.runtime.models.sources import WORDS, Source, file_source, folder_source
from run_graph.runtime.models.tiny import TINY_FOLDER, tiny_digest

_COMMIT = re.compile("[0-9a-f]{40}")
_READ = (".json", ".safetensors", ".model", ".txt")  # suffixes of a model's files


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
