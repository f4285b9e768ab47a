"""The names of models that an input offers: known files and aliases, and what the model folders hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from run_graph.runtime.models.checkpoints import FLUX_ALIASES, REDUX_ALIASES, TINY, TINY_SCHNELL
from run_graph.runtime.models.known_files import (
    CLIP,
    STYLE_MODEL,
    T5,
    TRANSFORMER,
    VAE,
    VISION,
    Role,
)

# ComfyUI's folder names; the second name of two is its older one.
MODEL_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "diffusion_models": ("diffusion_models", "unet"),
    "text_encoders": ("text_encoders", "clip"),
    "vae": ("vae",),
    "clip_vision": ("clip_vision",),
    "style_models": ("style_models",),
    "loras": ("loras",),
    "controlnet": ("controlnet",),
    "upscale_models": ("upscale_models",),
    "embeddings": ("embeddings",),
}

_ROLES: Mapping[str, Sequence[Role]] = {
    "checkpoints": (TRANSFORMER,),
    "diffusion_models": (TRANSFORMER,),
    "text_encoders": (CLIP, T5),
    "vae": (VAE,),
    "clip_vision": (VISION,),
    "style_models": (STYLE_MODEL,),
}
_ALIASES = {
    "flux": (TINY, TINY_SCHNELL, *FLUX_ALIASES),
    "redux": (TINY, *REDUX_ALIASES),
}
_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")


def known_models(kind: str, models: Path) -> list[str]:
    """The names that an input for this kind of model offers.

    Parameters
    ----------
    kind : str
        A folder of models, or ``flux`` or ``redux``: the names that LoadFlux or LoadRedux takes.
    models : Path
        The folder of the folders of models.
    """
    if kind in _ALIASES:
        return list(_ALIASES[kind])
    known = [f"{name}.safetensors" for role in _ROLES.get(kind, ()) for name in role.files]
    return list(dict.fromkeys([*known, *files_in(kind, models)]))


def files_in(kind: str, models: Path) -> list[str]:
    """The files of models in a folder of this kind and below it, sorted; with ``/`` between folders."""
    found: set[str] = set()
    for folder in MODEL_FOLDERS.get(kind, ()):
        root = models / folder
        if root.is_dir():
            paths = (path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
            found |= {path.relative_to(root).as_posix() for path in paths}
    return sorted(found)
