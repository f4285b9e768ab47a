"""ComfyUI's model files by the names that they usually have, and the checkpoints with the same weights.

ComfyUI's loaders name single files. A file that is there is read. Of files that are well known but not there,
the weights are read from the repository of whoever published them; a name counts without its folder, its
extension, letter case and what it says about precision. A folder, a repository or an alias is taken as
LoadFlux takes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.errors import CheckpointError, UnknownModelError
from run_graph.runtime.models.checkpoints import (
    TINY,
    TINY_SCHNELL,
    Checkpoint,
    file_called,
    from_files,
    is_path,
    resolve_flux,
    resolve_redux,
)
from run_graph.runtime.models.components import TEXT_PARTS, Component
from run_graph.runtime.models.sources import WORDS

Resolve = Callable[[str], Checkpoint]

# Its text encoders and autoencoder are dev's and krea-dev's too, and no licence has to be accepted for it.
_UNGATED = "schnell"
_REDUX = "dev-redux"

_SUFFIX = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$")
_PRECISION = re.compile(r"-(fp32|fp16|bf16|fp8|e4m3fn|e5m2|scaled|fast)$")
_EIGHT_BIT = {"fp8", "e4m3fn", "e5m2"}


@dataclass(frozen=True)
class Role:
    """What a loader reads.

    Attributes
    ----------
    what : str
        In a message, with its article.
    components : set of str
        What a file has to hold at least one of.
    files : mapping
        For each known file name, the name of the model that has its weights.
    resolve : callable
        The checkpoint that a name of a model means.
    """

    what: str
    components: frozenset[Component]
    files: Mapping[str, str]
    resolve: Resolve

    def model_of(self, name: str) -> str | None:
        """The model that has a file's weights; None for a file that is not known, or what is no file."""
        return {_stem(file): model for file, model in self.files.items()}.get(_stem(name))


TRANSFORMER = Role(
    "a FLUX.1 transformer",
    frozenset({"transformer"}),
    {
        "flux1-tiny": TINY,
        "flux1-tiny-schnell": TINY_SCHNELL,
        "flux1-schnell": "schnell",
        "flux1-dev": "dev",
        "flux1-krea-dev": "krea-dev",
    },
    resolve_flux,
)
T5 = Role(
    "a T5 text encoder",
    frozenset({"text_encoder_2"}),
    {"t5xxl_tiny": TINY, "t5xxl": _UNGATED},
    resolve_flux,
)
CLIP = Role(
    "a CLIP text encoder",
    frozenset({"text_encoder"}),
    {"clip_l_tiny": TINY, "clip_l": _UNGATED},
    resolve_flux,
)
TEXT_ENCODER = Role(
    "a text encoder of FLUX.1", T5.components | CLIP.components, {**CLIP.files, **T5.files}, resolve_flux
)
VAE = Role("FLUX.1's autoencoder", frozenset({"vae"}), {"ae_tiny": TINY, "ae": _UNGATED}, resolve_flux)
VISION = Role(
    "a SigLIP vision model",
    frozenset({"image_encoder"}),
    {"sigclip_vision_tiny": TINY, "sigclip_vision_patch14_384": _REDUX},
    resolve_redux,
)
STYLE_MODEL = Role(
    "a Redux model",
    frozenset({"image_embedder"}),
    {"flux1-redux-tiny": TINY, "flux1-redux-dev": _REDUX},
    resolve_redux,
)


class Whole(NamedTuple):
    """The checkpoints of a file's transformer, and of its text encoders and autoencoder."""

    transformer: Checkpoint
    others: Checkpoint


def resolve(role: Role, name: str) -> Checkpoint:
    """The checkpoint that has the weights of the file called `name`.

    Raises
    ------
    CheckpointError
        If it is a file that cannot be read or does not hold what the loader reads.
    UnknownModelError
        If it is neither a file, nor the name of a known file or a model; the message lists what is known.
    """
    name = name.strip()
    if (path := file_called(name)) is not None:
        return _from_file(role, name, path)
    if is_path(name):
        return role.resolve(name)
    if (model := role.model_of(name)) is not None:
        return role.resolve(model)
    if not _SUFFIX.search(name.lower()):
        try:
            return role.resolve(name)
        except UnknownModelError:
            pass
    known = ", ".join(role.files)
    raise UnknownModelError(
        f"{name!r} is not known as the name of {role.what}. Known files are {known}, in any precision. "
        "The path of a file, a model's name as in LoadFlux or LoadRedux, a Hugging Face repository "
        "(org/name) and a folder in diffusers' layout work too."
    )


def _from_file(role: Role, name: str, path: Path) -> Checkpoint:
    checkpoint = from_files(name, [path])
    held = dict(checkpoint.files)
    if held.keys().isdisjoint(role.components):
        has = " and ".join(WORDS[component] for component in held)
        raise CheckpointError(f"{path} holds {has}; what is needed here is {role.what}.")
    return checkpoint


def resolver(role: Role) -> Resolve:
    """`resolve` for one role."""
    return partial(resolve, role)


def resolve_text_encoders(first: str, second: str) -> Checkpoint:
    """The checkpoint that has both text encoders: T5 and CLIP, in either order, or one model named twice.

    Raises
    ------
    CheckpointError
        If a file cannot be read, or both hold the same encoder.
    UnknownModelError
        If one is not known, both are the same encoder, or they belong to different models.
    """
    checkpoints = [resolve(TEXT_ENCODER, name) for name in (first, second)]
    if any(checkpoint.files for checkpoint in checkpoints):
        return _joined(*checkpoints)
    for role, other in ((T5, "CLIP (clip_l)"), (CLIP, "T5 (t5xxl)")):
        if all(not is_path(name) and role.model_of(name) for name in (first, second)):
            raise UnknownModelError(
                f"{first!r} and {second!r} are both {role.what}; FLUX.1 needs {other} as well."
            )
    if checkpoints[0] != checkpoints[1]:
        raise UnknownModelError(
            f"{first!r} and {second!r} belong to different models, {checkpoints[0].name} and "
            f"{checkpoints[1].name}; name two files of one."
        )
    return checkpoints[0]


def _joined(first: Checkpoint, second: Checkpoint) -> Checkpoint:
    """The text encoders of a file with those of another file, or of a model."""
    held = [
        (component, path)
        for checkpoint in (first, second)
        for component, path in checkpoint.files
        if component in TEXT_ENCODER.components
    ]
    files = tuple(dict.fromkeys(held))
    if len({component for component, _ in files}) < len(files):
        one, other = first.name, second.name
        raise CheckpointError(f"{one} and {other} hold the same text encoder; name one T5 and one CLIP.")
    whole = next((each for each in (first, second) if not each.files), None)
    if whole is None and len(files) < len(TEXT_ENCODER.components):
        ((component, path),) = files
        raise CheckpointError(
            f"{path} holds {WORDS[component]} alone; name a file for the other encoder as well."
        )
    name = " + ".join(dict.fromkeys((first.name, second.name)))
    return replace(first if first.files else second, name=name, files=files, rest=whole or first.rest)


def resolve_both_text_encoders(name: str) -> Checkpoint:
    """The checkpoint of a model's text encoders.

    Raises
    ------
    UnknownModelError
        If `name` is not a model's, or is that of a file, which has only one.
    """
    if (path := file_called(name)) is not None:
        checkpoint = _from_file(TEXT_ENCODER, name, path)
        return _joined(checkpoint, checkpoint)
    if not is_path(name) and TEXT_ENCODER.model_of(name):
        raise UnknownModelError(
            f"{name!r} is one of FLUX.1's two text encoders; name both, T5 and CLIP, with DualCLIPLoader."
        )
    return resolve(TEXT_ENCODER, name)


def resolve_whole(name: str) -> Whole:
    """The checkpoints of a file that has a whole model. Raises CheckpointError, UnknownModelError."""
    transformer = resolve(TRANSFORMER, name)
    if transformer.files:
        return Whole(transformer.of("transformer"), transformer.of(*TEXT_PARTS, "vae"))
    if is_path(name.strip()) or (model := TRANSFORMER.model_of(name)) is None:
        return Whole(transformer, transformer)
    return Whole(transformer, resolve_flux(TINY if model in (TINY, TINY_SCHNELL) else _UNGATED))


def is_eight_bit(name: str) -> bool:
    """Whether the name of a known file that is not there says that its weights are numbers of 8 bits."""
    if file_called(name) is not None:
        return False
    return not is_path(name) and not _EIGHT_BIT.isdisjoint(_dashed(name).split("-"))


def _stem(name: str) -> str:
    stem = _dashed(name)
    while match := _PRECISION.search(stem):
        stem = stem[: match.start()]
    return stem


def _dashed(name: str) -> str:
    """A file's name without folder and extension, in lower case, with one kind of separator."""
    base = _SUFFIX.sub("", name.strip().replace("\\", "/").rsplit("/", 1)[-1].lower())
    return re.sub(r"[-_. ]+", "-", base)
