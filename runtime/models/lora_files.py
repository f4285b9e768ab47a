"""Find the file that a LoRA's name means. No model code is imported.

A name can be a path, or the bare name of a file in one of the colon-separated folders of the environment
variable `LORA_LIBRARY_PATH`. As in mflux, it can also be a Hugging Face repository (`org/name`), a file in
a repository (`org/name:file.safetensors`), or ai-toolkit's form `hf:org/name/file.safetensors`.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from run_graph.runtime.errors import LoraError
from run_graph.runtime.files.inputs import digest
from run_graph.runtime.models.hub_files import fetch_file
from run_graph.runtime.models.inspection import read_header

_SUFFIX = ".safetensors"
_REPOSITORY = re.compile(r"(?:hf:)?(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+?)(?:[:/](?P<file>[^:]+))?")
_PATH_STARTS = ("./", "../", "/", "~", ".\\", "..\\")

FindInput = Callable[[str], Path]


@dataclass(frozen=True)
class Lora:
    """A LoRA as part of a model handle.

    Attributes
    ----------
    digest : str
        SHA-256 of the file's contents. Two files with equal contents are the same LoRA.
    scale : float
        Factor by which its weight update is multiplied.
    skip_unmatched : bool
        Whether tensors that match no part of FLUX's transformer are skipped; otherwise they are an error.
    name : str
        The name given in the workflow.
    path : Path
        Its file.
    """

    digest: str
    scale: float
    skip_unmatched: bool
    name: str = field(compare=False)
    path: Path = field(compare=False)


@dataclass(frozen=True)
class LoraSource:
    """Where a LoRA is stored: in a local file, or on the Hub if `path` is None."""

    name: str
    path: Path | None = None
    repo: str = ""
    file: str | None = None

    def check(self) -> None:
        """Raise LoraError if the LoRA is a local file and not a complete safetensors file."""
        if self.path is not None:
            try:
                read_header(self.path)
            except (OSError, ValueError) as error:
                raise LoraError(f"The LoRA cannot be read: {error}") from error

    def locate(self) -> Path:
        """The local file, downloaded now if necessary. Raises DownloadError."""
        return self.path if self.path is not None else fetch_file(self.repo, self.file, _SUFFIX)


def lora_digest(path: Path) -> str:
    """The SHA-256 of a LoRA file; cached until the file's size or modification time changes."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _digest(path: Path, size: int, modified: int) -> str:
    return digest(path)


def resolve_lora(name: str, find_input: FindInput) -> LoraSource:
    """Where the LoRA called `name` is stored. No network access.

    Parameters
    ----------
    name
        See the module docstring.
    find_input
        Resolves a relative path to a file, or raises OSError.

    Raises
    ------
    LoraError
        If there is no such file and the name cannot be a repository's.
    """
    name = name.strip()
    if not name:
        raise LoraError(
            "The name of the LoRA is empty. Give the path of a .safetensors file, or a repository."
        )
    try:
        return LoraSource(name, find_input(str(Path(name).expanduser())))
    except OSError as error:
        missing = str(error).removesuffix(".")
    if (shelved := _from_library(name)) is not None:
        return LoraSource(name, shelved)
    match = _REPOSITORY.fullmatch(name)
    names_file = name.endswith(_SUFFIX) and not name.startswith("hf:") and ":" not in name
    if match is None or names_file or name.startswith(_PATH_STARTS):
        raise LoraError(f"{missing}; give the path of a {_SUFFIX} file, or a repository as org/name:file.")
    return LoraSource(name, repo=match["repo"], file=match["file"])


def _from_library(name: str) -> Path | None:
    """The file with that bare name (suffix optional) in the user's library; earlier folders win."""
    if "/" in name or "\\" in name:
        return None
    pattern = glob.escape(name.removesuffix(_SUFFIX)) + _SUFFIX
    folders = os.environ.get("LORA_LIBRARY_PATH", "").split(":")
    found = (path for folder in folders if folder for path in sorted(Path(folder).rglob(pattern)))
    return next(found, None)
