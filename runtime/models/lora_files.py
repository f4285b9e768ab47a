"""From a LoRA's name to its file. Imports no model code.

A name is one of these:

- a path;
- the name of a file in one of the folders in the environment variable `LORA_LIBRARY_PATH` (separated by
  colons), without its folder or, with its suffix, with the end of it, as ComfyUI names files;
- the name of a file in one of the user's folders `loras` (:mod:`runtime.models.library`);
- in mflux's notation, a Hugging Face repository (`org/name`) or a file in one (`org/name:file.safetensors`);
- in ai-toolkit's notation, `hf:org/name/file.safetensors`.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from run_graph.runtime.errors import LoraError, ModelError
from run_graph.runtime.files.digests import content_digest, named_digest
from run_graph.runtime.models.components import TRANSFORMER_ONLY, Component
from run_graph.runtime.models.hub_files import cached_file, fetch_file
from run_graph.runtime.models.library.finding import find, what_is_there
from run_graph.runtime.models.library.places import Category
from run_graph.runtime.models.permissions import download_fault

_SUFFIX = ".safetensors"
_CATEGORY: Category = "loras"
_REPOSITORY = re.compile(r"(?:hf:)?(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+?)(?:[:/](?P<file>[^:]+))?")
_PATH_STARTS = ("./", "../", "/", "~", ".\\", "..\\")

FindFile = Callable[[str], Path]


@dataclass(frozen=True)
class Lora:
    """A LoRA as a model handle carries it.

    Attributes
    ----------
    digest : str
        Of its content (`lora_digest`). Two files with equal contents are the same LoRA.
    scale : float
        Factor on its update of the weights.
    skip_unmatched : bool
        Whether tensors that match no layer of FLUX.1 are ignored instead of refused.
    name : str
        The name in the workflow.
    path : Path
        Its file.
    components : tuple
        The networks that it changes; its tensors for others are unmatched.
    """

    digest: str
    scale: float
    skip_unmatched: bool
    name: str = field(compare=False)
    path: Path = field(compare=False)
    components: tuple[Component, ...] = TRANSFORMER_ONLY


@dataclass(frozen=True)
class LoraSource:
    """Where a LoRA is stored: in a local file, or (path is None) on the Hub."""

    name: str
    path: Path | None = None
    repo: str = ""
    file: str | None = None

    def check_download(self) -> None:
        """Raise LoraError if it would have to be downloaded, and may not be."""
        if self.path is None and (fault := download_fault(self.repo)) and not self.is_cached():
            raise LoraError(fault)

    def is_cached(self) -> bool:
        """Whether it is on this machine. Does not use the network."""
        return self.path is not None or cached_file(self.repo, self.file, _SUFFIX) is not None

    def locate(self) -> Path:
        """The local file; downloads it if necessary. Raises DownloadError."""
        return self.path if self.path is not None else fetch_file(self.repo, self.file, _SUFFIX)


def lora_digest(path: Path) -> str:
    """A digest of what a LoRA is made of: the SHA-256 of its file, which is read once. Raises OSError.

    If PEFT's settings are beside the file, they count too.
    """
    if (beside := peft_config(path)) is not None:
        return named_digest({"weights": path, "settings": beside})
    return content_digest(path)


def peft_config(path: Path) -> Path | None:
    """The settings that PEFT saves beside a LoRA's file, alpha among them; None if there are none."""
    beside = path.with_name("adapter_config.json")
    return beside if path.name == "adapter_model.safetensors" and beside.is_file() else None


def resolve_lora(name: str, find_file: FindFile) -> LoraSource:
    """Where the LoRA called `name` is stored. Does not use the network.

    Parameters
    ----------
    name
        See the module docstring.
    find_file
        Finds the file that a relative path means, or raises OSError.

    Raises
    ------
    LoraError
        If there is no such file, and the name cannot be that of a repository.
    """
    name = name.strip()
    if not name:
        raise LoraError("No LoRA is given. Give the path of a .safetensors file, or a repository.")
    try:
        return LoraSource(name, find_file(str(Path(name).expanduser())))
    except OSError as error:
        missing = str(error).removesuffix(".")
    if (found := _from_library(name) or _from_models_folder(name)) is not None:
        return LoraSource(name, found)
    match = _REPOSITORY.fullmatch(name)
    names_file = name.endswith(_SUFFIX) and not name.startswith("hf:") and ":" not in name
    if match is None or names_file or name.startswith(_PATH_STARTS):
        there = what_is_there([_CATEGORY], elsewhere=False)
        raise LoraError(
            f"{missing}. {there}. Give the path of a {_SUFFIX} file, or a repository as org/name:file."
        )
    return LoraSource(name, repo=match["repo"], file=match["file"])


def _from_models_folder(name: str) -> Path | None:
    """The file with that name in the user's folders of LoRAs. Raises LoraError."""
    if name.startswith((*_PATH_STARTS, "hf:")) or ":" in name:
        return None
    try:
        found = find(name, [_CATEGORY], elsewhere=False)
    except ModelError as error:
        raise LoraError(str(error)) from error
    return None if found is None else found.path


def _from_library(name: str) -> Path | None:
    """The file with that name in the user's library; earlier folders win. The suffix may be left out."""
    name = name.replace("\\", "/")
    is_path = name.startswith(_PATH_STARTS) or ".." in name or ":" in name
    if "/" in name and (is_path or not name.endswith(_SUFFIX)):
        return None
    pattern = glob.escape(name.removesuffix(_SUFFIX)) + _SUFFIX
    folders = os.environ.get("LORA_LIBRARY_PATH", "").split(":")
    found = (path for folder in folders if folder for path in sorted(Path(folder).rglob(pattern)))
    return next(found, None)
