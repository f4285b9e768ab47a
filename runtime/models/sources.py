"""Where the weights of one network are: the files, the network's place in them, and how it is configured.

A network's folder in diffusers' layout is a source, and so is a single file, which may hold several networks.
Only headers are read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from math import isqrt
from pathlib import Path
from typing import Any

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.architecture import name_in_memory
from run_graph.runtime.models.components import COMPONENTS, Component
from run_graph.runtime.models.inspection import (
    MFLUX,
    Header,
    Tensor,
    is_saved_by_mflux,
    read_header,
    read_json,
    saved_bits,
    weight_files,
)
from run_graph.runtime.models.layouts.foreign import foreign, foreign_folder, other_network
from run_graph.runtime.models.layouts.headers import model_header
from run_graph.runtime.models.layouts.recognition import Found, Layout, networks_in, own_names
from run_graph.runtime.models.layouts.storage import formats_in, storage_faults
from run_graph.runtime.models.tiny import TINY_FOLDER

# FLUX.1's own sizes (`Found.size`). Its configuration is what networks assume if there is none.
PUBLISHED_SIZES: dict[Component, int] = {
    "transformer": 128,
    "vae": 512,
    "text_encoder": 768,
    "text_encoder_2": 4096,
    "image_encoder": 1152,
    "image_embedder": 4096,
}
_SHARD = re.compile(r"-\d{5}-of-(?!00001)\d{5}\.safetensors$")
_SO400M = (27, 14)  # the grid and the patch of SigLIP for 384 pixels, whose last six are not seen
_GUIDANCE = ("guidance_in.", "time_text_embed.guidance_embedder.")
WORDS: dict[Component, str] = {
    "transformer": "a FLUX.1 transformer",
    "vae": "FLUX.1's autoencoder",
    "text_encoder": "a CLIP text encoder",
    "text_encoder_2": "a T5 text encoder",
    "image_encoder": "a SigLIP vision model",
    "image_embedder": "a Redux encoder",
}


@dataclass(frozen=True)
class Source:
    """One network on this machine.

    Attributes
    ----------
    component
    place
        Its folder or its file, for messages.
    files
        The files that hold its tensors, none of them twice.
    layout
        Whose names the tensors have.
    prefix
        What their names begin with.
    beside
        All networks that were found in its files.
    config
        What its config.json says; `{}` means FLUX.1's own values.
    bits
        Bits per weight that mflux recorded when it saved the network quantised.
    """

    component: Component
    place: Path
    files: tuple[Path, ...]
    layout: Layout = "published"
    prefix: str = ""
    beside: tuple[Found, ...] = ()
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    bits: int | None = None

    def own(self, names: Iterable[str]) -> dict[str, str]:
        """Those of a file's names that are this network's, by what follows their prefix."""
        found = Found(self.component, self.layout, self.prefix, 0)
        return own_names(list(names), found, self.beside)

    def headers(self) -> list[Header]:
        """Of its files. Raises CheckpointError."""
        return [_header(path) for path in self.files]

    def tensors(self) -> dict[str, Tensor]:
        """What the headers say of its tensors, by their names without a prefix.

        Raises
        ------
        CheckpointError
            If a file cannot be read, or if two files have the same tensor.
        """
        found: dict[str, Tensor] = {}
        for path, header in zip(self.files, self.headers(), strict=True):
            for own, name in self.own(header.tensors).items():
                if own in found:
                    raise CheckpointError(
                        f"{self.place} has {name} in {path.name} and in another file. Remove the file that "
                        "does not belong to the model."
                    )
                found[own] = header.tensors[name]
        return found

    def has_guidance(self) -> bool:
        """Whether a transformer embeds the guidance scale, as dev does and schnell does not."""
        return any(name.startswith(_GUIDANCE) for name in self.tensors())

    def faults(self) -> list[str]:
        """What makes its weights unreadable, as far as the headers say."""
        try:
            tensors = {
                self.prefix + name: tensor
                for name, tensor in self.tensors().items()
                if name_in_memory(self.component, name) is not None
            }
            return storage_faults(tensors, self._formats(), str(self.place))
        except CheckpointError as error:
            return [str(error)]

    def _formats(self) -> dict[str, str]:
        """The storage formats that its files name for its layers. Raises CheckpointError."""
        named: dict[str, str] = {}
        for path, header in zip(self.files, self.headers(), strict=True):
            try:
                named |= formats_in(path, header)
            except (OSError, ValueError) as error:
                raise CheckpointError(f"{path} cannot be read: {error}") from error
        return {
            layer: format for layer, format in named.items() if layer.startswith(self.prefix) or not layer
        }


def folder_source(folder: Path, component: Component) -> Source:
    """The source of a component in its folder.

    Raises
    ------
    CheckpointError
        If a file cannot be read, or holds another network or another model.
    """
    try:
        config = read_json(folder / "config.json")
        source = Source(
            component, folder, tuple(weight_files(folder)), config=config, bits=saved_bits(folder)
        )
        if is_saved_by_mflux(folder):
            source = replace(source, layout="mflux")
            return replace(source, config=config or _configured(source))
        other = foreign_folder(config, read_json(folder.parent / "model_index.json"))
    except (OSError, ValueError) as error:
        raise CheckpointError(str(error)) from error
    if other is not None:
        raise CheckpointError(f"{folder} {other}")
    found: list[Found] = []
    for path in source.files:
        header = _header(path)
        if (other := foreign(header, path)) is not None:
            raise CheckpointError(f"{path} {other}")
        found += networks_in(header.tensors)
    own = [each for each in found if each.component == component]
    if not own:
        return source  # the check of names says what is missing
    return replace(source, layout=own[0].layout, prefix=own[0].prefix, beside=tuple(found))


def file_networks(path: Path) -> list[Found]:
    """The networks in a single file.

    Raises
    ------
    CheckpointError
        If it cannot be read, holds another model, or none of FLUX.1's networks.
    """
    header = _header(path)
    if MFLUX & header.metadata.keys() or _SHARD.search(path.name):
        raise CheckpointError(f"{path} is one of several files of a model. Name the folder that they are in.")
    if (other := foreign(header, path)) is not None:
        raise CheckpointError(f"{path} {other}")
    found = networks_in(header.tensors)
    if not found and (other := other_network(header)) is not None:
        raise CheckpointError(f"{path} {other}")
    if not found:
        some = ", ".join(list(header.tensors)[:3]) or "no tensors"
        raise CheckpointError(
            f"{path} holds none of FLUX.1's networks (it has {some}). Name the file of a transformer, T5, "
            "CLIP, an autoencoder, SigLIP or Redux."
        )
    for each in found:
        if each.size not in (PUBLISHED_SIZES[each.component], tiny_sizes().get(each.component)):
            raise CheckpointError(
                f"{path} holds {WORDS[each.component]} of another size than FLUX.1's: it is "
                f"{each.size} wide, not {PUBLISHED_SIZES[each.component]}. Use the one of FLUX.1."
            )
    return found


def file_source(path: Path, component: Component) -> Source | None:
    """The source of a component in a single file; None if the file has no such network.

    Raises
    ------
    CheckpointError
        As `file_networks`, and if it holds the component twice.
    """
    networks = file_networks(path)
    own = [each for each in networks if each.component == component]
    if not own:
        return None
    if len(own) > 1:
        places = " and ".join(repr(each.prefix) for each in own)
        raise CheckpointError(f"{path} holds {WORDS[component]} more than once, under the prefixes {places}.")
    (found,) = own
    source = Source(component, path, (path,), found.layout, found.prefix, tuple(networks))
    is_tiny = found.size != PUBLISHED_SIZES[component]
    config = read_json(TINY_FOLDER / component / "config.json") if is_tiny else {}
    return replace(source, config={**config, **_configured(source)})


@cache
def tiny_sizes() -> dict[Component, int]:
    """The sizes of the built-in model's networks."""
    return {
        found.component: found.size
        for component in COMPONENTS
        for path in weight_files(TINY_FOLDER / component)
        for found in networks_in(read_header(path).tensors)
    }


def _configured(source: Source) -> dict[str, Any]:
    """What the shapes say of a network that comes without a config.json: the size of SigLIP's pictures."""
    if source.component != "image_encoder":
        return {}
    shapes = {name.removeprefix("vision_model."): tensor.shape for name, tensor in source.tensors().items()}
    positions = shapes.get("embeddings.position_embedding.weight", ())
    patch = shapes.get("embeddings.patch_embedding.weight", ())
    if len(positions) != 2 or len(patch) != 4:
        return {}
    side = patch[1] if source.layout == "mflux" else patch[-1]
    grid = isqrt(positions[0])
    return {"image_size": 384 if (grid, side) == _SO400M else grid * side}


def _header(path: Path) -> Header:
    """A file's header. Raises CheckpointError, which names the format of a file of another program."""
    try:
        return model_header(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise CheckpointError(str(error)) from error
