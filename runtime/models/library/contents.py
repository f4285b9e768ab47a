"""What the files in the user's folders hold, by their headers: which networks, stored how."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.inspection import Tensor, read_header
from run_graph.runtime.models.layouts.recognition import networks_in
from run_graph.runtime.models.layouts.storage import SCALES
from run_graph.runtime.models.library.finding import FoundFile, files
from run_graph.runtime.models.library.places import Category
from run_graph.runtime.models.sources import (
    PUBLISHED_SIZES,
    Source,
    file_networks,
    file_source,
    folder_source,
)

KINDS: dict[Component, str] = {
    "transformer": "transformer",
    "text_encoder_2": "T5",
    "text_encoder": "CLIP",
    "vae": "autoencoder",
    "image_encoder": "SigLIP",
    "image_embedder": "Redux",
}
_LORA_FOLDER: Category = "loras"
_PRECISIONS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "fp8 e4m3fn",
    "F8_E5M2": "fp8 e5m2",
}
_SMALL = 0.02  # share of the bytes below which a second format, such as that of the norms, is not told


@dataclass(frozen=True)
class Network:
    """One network in a file.

    Attributes
    ----------
    component : str
    family : str
        Which models it belongs to, as far as the file tells.
    precision : str
        How its numbers are stored: one format, or several, the most frequent first.
    """

    component: Component
    family: str
    precision: str


@dataclass(frozen=True)
class ModelFile:
    """A file and what it is.

    Attributes
    ----------
    file : FoundFile
    kind : str
        In words: its networks, ``LoRA``, or ``unknown``.
    networks : tuple of Network
        FLUX.1's networks in it.
    precision : str
        Of all of it.
    nbytes : int
        Its size on the disk.
    note : str
        Why it cannot be used, if it cannot.
    """

    file: FoundFile
    kind: str
    networks: tuple[Network, ...]
    precision: str
    nbytes: int
    note: str = ""

    @property
    def family(self) -> str:
        """Of its first network; "" if it has none."""
        return self.networks[0].family if self.networks else ""

    def to_json(self) -> dict[str, Any]:
        """The file as plain values."""
        return {
            "name": self.file.name,
            "path": str(self.file.path),
            "folder": self.file.category,
            "kind": self.kind,
            "family": self.family,
            "precision": self.precision,
            "nbytes": self.nbytes,
            "networks": [asdict(network) for network in self.networks],
            "note": self.note,
        }


def model_files() -> Iterator[ModelFile]:
    """All files in the user's folders, in the order of the folders. Reads headers only.

    Raises FolderSettingsError.
    """
    for found in files():
        yield described(found)


def described(found: FoundFile) -> ModelFile:
    """What a file, or a model's folder, is; one that has not changed is read once."""
    try:
        state = os.stat(found.path)
    except OSError as error:
        return ModelFile(found, "unknown", (), "", 0, f"it cannot be read: {error.strerror or error}")
    return _described(found, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1000)
def _described(found: FoundFile, modified: int, size: int) -> ModelFile:
    path = found.path
    if found.category == _LORA_FOLDER:
        return _lora(found, size)
    try:
        networks = tuple(_networks(path))
    except CheckpointError as error:
        reason = str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
        return ModelFile(found, "unknown", (), "", size, reason)
    kinds = " + ".join(KINDS[network.component] for network in networks)
    precision = ", ".join(dict.fromkeys(network.precision for network in networks))
    return ModelFile(found, kinds, networks, precision, _nbytes(path, size))


def source_of(path: Path, component: Component) -> Source | None:
    """The source of a network in a file or in a model's folder; None if it has no such network.

    Raises CheckpointError.
    """
    if not path.is_dir():
        return file_source(path, component)
    return folder_source(path / component, component) if (path / component).is_dir() else None


def _networks(path: Path) -> Iterator[Network]:
    """The networks in a file or folder, the transformer first. Raises CheckpointError."""
    held = KINDS if path.is_dir() else {found.component for found in file_networks(path)}
    sources = [source for each in KINDS if each in held and (source := source_of(path, each)) is not None]
    sizes = [found for source in sources for found in networks_in(source.tensors())]
    is_tiny = any(found.size != PUBLISHED_SIZES[found.component] for found in sizes)
    for source in sources:
        family = "tiny" if is_tiny else _family(source)
        precision = _precision(source.tensors()) if source.bits is None else f"{source.bits} bits"
        yield Network(source.component, family, precision)


def _nbytes(path: Path, size: int) -> int:
    """Bytes on the disk of a file of this size, or of all weights in a model's folder."""
    if not path.is_dir():
        return size
    return sum(each.stat().st_size for each in path.glob("*/*.safetensors"))


def _family(source: Source) -> str:
    if source.component == "transformer":
        return "FLUX.1 dev or krea-dev" if source.has_guidance() else "FLUX.1 schnell"
    return "FLUX.1 Redux" if source.component in ("image_encoder", "image_embedder") else "FLUX.1"


def _precision(tensors: dict[str, Tensor]) -> str:
    """The formats of the tensors that take most room."""
    nbytes: Counter[str] = Counter()
    for tensor in tensors.values():
        nbytes[tensor.dtype] += tensor.nbytes
    total = sum(nbytes.values())
    kept = [dtype for dtype, count in nbytes.most_common() if count >= _SMALL * total]
    scaled = any(name.rpartition(".")[2] in SCALES for name in tensors)
    return _words(kept) + (", scaled" if scaled else "")


def _words(dtypes: Iterable[str]) -> str:
    return " + ".join(_PRECISIONS.get(dtype, dtype) for dtype in dtypes)


def _lora(found: FoundFile, size: int) -> ModelFile:
    try:
        tensors = read_header(found.path).tensors
    except (OSError, ValueError) as error:
        return ModelFile(found, "LoRA", (), "", size, str(error))
    return ModelFile(found, "LoRA", (), _precision(tensors), size)
