"""Model files by the names that they usually have in ComfyUI, and the models with the same weights.

A name counts without its folder, its extension, letter case and what it says about precision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from run_graph.runtime.models.aliases import REDUX, TINY, TINY_SCHNELL, UNGATED
from run_graph.runtime.models.components import TEXT_PARTS
from run_graph.runtime.models.library.places import Category
from run_graph.runtime.models.resolution import Resolve, is_path, resolve_flux, resolve_redux

_SUFFIX = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$")
_PRECISION = re.compile(r"-(fp32|fp16|f32|f16|bf16|fp8|e4m3fn|e5m2|scaled|fast|q\d(-[01]|-k(-[sml])?)?)$")
_EIGHT_BIT = {"fp8", "e4m3fn", "e5m2"}
_QUANTISED = re.compile(r"-q(\d)(-|$)")  # as GGUF files are called: flux1-dev-Q4_K_S


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
    parts : tuple of str
        What of the checkpoint is read: components, and tokenizers.
    categories : tuple of str
        The kinds of folders that its files usually lie in.
    """

    what: str
    files: Mapping[str, str]
    resolve: Resolve
    parts: tuple[str, ...]
    categories: tuple[Category, ...]

    def model_of(self, name: str) -> str | None:
        """The model that has a file's weights; None for a file that is not known, or what is no file."""
        return {_stem(file): model for file, model in self.files.items()}.get(_stem(name))


_TRANSFORMERS = {
    "flux1-tiny": TINY,
    "flux1-tiny-schnell": TINY_SCHNELL,
    "flux1-schnell": "schnell",
    "flux1-dev": "dev",
    "flux1-krea-dev": "krea-dev",
}
TRANSFORMER = Role(
    "a FLUX.1 transformer", _TRANSFORMERS, resolve_flux, ("transformer",), ("diffusion_models",)
)
WHOLE = Role("a FLUX.1 model", _TRANSFORMERS, resolve_flux, ("transformer",), ("checkpoints",))
T5 = Role(
    "a T5 text encoder",
    {"t5xxl_tiny": TINY, "t5xxl": UNGATED, "t5-v1_1-xxl-encoder": UNGATED},
    resolve_flux,
    ("text_encoder_2",),
    ("text_encoders",),
)
CLIP = Role(
    "a CLIP text encoder",
    {"clip_l_tiny": TINY, "clip_l": UNGATED},
    resolve_flux,
    ("text_encoder",),
    ("text_encoders",),
)
TEXT_ENCODER = Role(
    "a text encoder of FLUX.1", {**CLIP.files, **T5.files}, resolve_flux, TEXT_PARTS, ("text_encoders",)
)
VAE = Role("FLUX.1's autoencoder", {"ae_tiny": TINY, "ae": UNGATED}, resolve_flux, ("vae",), ("vae",))
VISION = Role(
    "a SigLIP vision model",
    {"sigclip_vision_tiny": TINY, "sigclip_vision_patch14_384": REDUX},
    resolve_redux,
    ("image_encoder",),
    ("clip_vision",),
)
STYLE_MODEL = Role(
    "a Redux model",
    {"flux1-redux-tiny": TINY, "flux1-redux-dev": REDUX},
    resolve_redux,
    ("image_embedder",),
    ("style_models",),
)


def is_file_name(name: str) -> bool:
    """Whether a name ends as those of model files do."""
    return _SUFFIX.search(name.lower()) is not None


def bits_in_name(name: str) -> int | None:
    """The bits of a weight, if the name of a known file says that they are 8 or fewer."""
    stem = _dashed(name)
    if is_path(name):
        return None
    if match := _QUANTISED.search(stem):
        return int(match[1])
    return None if _EIGHT_BIT.isdisjoint(stem.split("-")) else 8


def _stem(name: str) -> str:
    stem = _dashed(name)
    while match := _PRECISION.search(stem):
        stem = stem[: match.start()]
    return stem


def _dashed(name: str) -> str:
    """A file's name without folder and extension, in lower case, with one kind of separator."""
    base = _SUFFIX.sub("", name.strip().replace("\\", "/").rsplit("/", 1)[-1].lower())
    return re.sub(r"[-_. ]+", "-", base)
