"""ComfyUI's model files by the names that they usually have, and the checkpoints with the same weights.

ComfyUI's loaders name single files in its own layout. Files that are well known are read from the repository
of whoever published them, in diffusers' layout. A name counts without its folder, its extension, letter case
and what it says about precision. A folder, a repository or an alias is taken as LoadFlux takes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from run_graph.runtime.errors import UnknownModelError
from run_graph.runtime.models.checkpoints import (
    TINY,
    TINY_SCHNELL,
    Checkpoint,
    is_path,
    resolve_flux,
    resolve_redux,
)

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
    files : mapping
        For each known file name, the name of the model that has its weights.
    resolve : callable
        The checkpoint that a name of a model means.
    """

    what: str
    files: Mapping[str, str]
    resolve: Resolve

    def model_of(self, name: str) -> str | None:
        """The model that has a file's weights; None for a file that is not known, or what is no file."""
        return {_stem(file): model for file, model in self.files.items()}.get(_stem(name))


TRANSFORMER = Role(
    "a FLUX.1 transformer",
    {
        "flux1-tiny": TINY,
        "flux1-tiny-schnell": TINY_SCHNELL,
        "flux1-schnell": "schnell",
        "flux1-dev": "dev",
        "flux1-krea-dev": "krea-dev",
    },
    resolve_flux,
)
T5 = Role("a T5 text encoder", {"t5xxl_tiny": TINY, "t5xxl": _UNGATED}, resolve_flux)
CLIP = Role("a CLIP text encoder", {"clip_l_tiny": TINY, "clip_l": _UNGATED}, resolve_flux)
TEXT_ENCODER = Role("a text encoder of FLUX.1", {**CLIP.files, **T5.files}, resolve_flux)
VAE = Role("FLUX.1's autoencoder", {"ae_tiny": TINY, "ae": _UNGATED}, resolve_flux)
VISION = Role(
    "a SigLIP vision model",
    {"sigclip_vision_tiny": TINY, "sigclip_vision_patch14_384": _REDUX},
    resolve_redux,
)
STYLE_MODEL = Role("a Redux model", {"flux1-redux-tiny": TINY, "flux1-redux-dev": _REDUX}, resolve_redux)


class Whole(NamedTuple):
    """The checkpoints of a file's transformer, and of its text encoders and autoencoder."""

    transformer: Checkpoint
    others: Checkpoint


def resolve(role: Role, name: str) -> Checkpoint:
    """The checkpoint that has the weights of the file called `name`.

    Raises
    ------
    UnknownModelError
        If it is neither a known file nor a model's name; the message lists what is known.
    """
    name = name.strip()
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
        "A model's name as in LoadFlux or LoadRedux, a Hugging Face repository (org/name) and a folder in "
        "diffusers' layout work too; single files of other names are not read."
    )


def resolver(role: Role) -> Resolve:
    """`resolve` for one role."""
    return partial(resolve, role)


def resolve_text_encoders(first: str, second: str) -> Checkpoint:
    """The checkpoint that has both text encoders: T5 and CLIP, in either order, or one model named twice.

    Raises
    ------
    UnknownModelError
        If one is not known, both are the same encoder, or they belong to different models.
    """
    checkpoints = [resolve(TEXT_ENCODER, name) for name in (first, second)]
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


def resolve_both_text_encoders(name: str) -> Checkpoint:
    """The checkpoint of a model's text encoders.

    Raises
    ------
    UnknownModelError
        If `name` is not a model's, or is that of a file, which has only one.
    """
    if not is_path(name) and TEXT_ENCODER.model_of(name):
        raise UnknownModelError(
            f"{name!r} is one of FLUX.1's two text encoders; name both, T5 and CLIP, with DualCLIPLoader."
        )
    return resolve(TEXT_ENCODER, name)


def resolve_whole(name: str) -> Whole:
    """The checkpoints of a file that has a whole model. Raises UnknownModelError."""
    transformer = resolve(TRANSFORMER, name)
    if is_path(name.strip()) or (model := TRANSFORMER.model_of(name)) is None:
        return Whole(transformer, transformer)
    return Whole(transformer, resolve_flux(TINY if model in (TINY, TINY_SCHNELL) else _UNGATED))


def is_eight_bit(name: str) -> bool:
    """Whether the name of a known file says that its weights are numbers of 8 bits."""
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
