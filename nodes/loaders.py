"""Model loaders. They only return handles; a node loads the weights that it computes with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.runtime.errors import ModelError
from run_graph.runtime.models.checkpoints import Checkpoint, resolve_flux, resolve_redux
from run_graph.runtime.models.components import FLUX_PARTS, REDUX_PARTS
from run_graph.runtime.models.handles import Flux, Redux, Siglip, TextEncoders, Vae
from run_graph.runtime.models.hub import commit_of
from run_graph.runtime.models.sizes import download_bytes

_COMMIT = re.compile("[0-9a-f]{40}")

Quantize = Annotated[
    Literal["none", 3, 4, 5, 6, 8],
    BeforeValidator(lambda bits: "none" if bits is None else bits),
]


class FluxHandles(Outputs):
    flux: Flux = Field(description="The transformer.")
    text_encoders: TextEncoders = Field(description="T5 and CLIP, which encode prompts.")
    vae: Vae = Field(description="The autoencoder, which turns latents into pictures.")


class LoadFlux(Node):
    """Choose a FLUX.1 model.

    `tiny` is built in. `schnell`, `dev` and `krea-dev` are Black Forest Labs' models. A Hugging Face
    repository (`org/name`) or a local folder works too, in diffusers' layout or as mflux-save writes it.
    This node loads nothing: a node loads the weights that it computes with when it first runs.
    """

    category = "loaders"

    model: str = Field(
        default="tiny", description="`tiny`, `schnell`, `dev`, `krea-dev`, a repository, or a folder."
    )
    quantize: Quantize = Field(
        default="none", description="Bits per weight; `none` keeps the checkpoint's precision."
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        return _model_problems(self.model, resolve_flux, FLUX_PARTS)

    def effects(self, env: Environment) -> Iterable[Effect]:
        return _model_effects(self.model, resolve_flux, FLUX_PARTS)

    def fingerprint(self, env: Environment) -> Any:
        return _identity(self.model, resolve_flux)

    def run(self, ctx: Context) -> FluxHandles:
        what = resolve_flux(self.model), _bits(self.quantize)
        return FluxHandles(flux=Flux(*what), text_encoders=TextEncoders(*what), vae=Vae(*what))


class ReduxHandles(Outputs):
    siglip: Siglip = Field(description="SigLIP, which encodes the reference picture.")
    redux: Redux = Field(description="The Redux encoder, which turns SigLIP's output into tokens for FLUX.")


class LoadRedux(Node):
    """Choose a Redux model: the picture encoders for FLUX.1.

    `tiny` is built in and is used with `LoadFlux(model="tiny")`; `dev-redux` is used with schnell, dev and
    krea-dev. This node loads nothing.
    """

    category = "loaders"

    model: str = Field(default="tiny", description="`tiny`, `dev-redux`, a repository, or a folder.")
    quantize: Quantize = Field(
        default="none", description="Bits per weight; `none` keeps the checkpoint's precision."
    )

    def check(self, env: Environment) -> Iterable[Problem]:
        return _model_problems(self.model, resolve_redux, REDUX_PARTS)

    def effects(self, env: Environment) -> Iterable[Effect]:
        return _model_effects(self.model, resolve_redux, REDUX_PARTS)

    def fingerprint(self, env: Environment) -> Any:
        return _identity(self.model, resolve_redux)

    def run(self, ctx: Context) -> ReduxHandles:
        what = resolve_redux(self.model), _bits(self.quantize)
        return ReduxHandles(siglip=Siglip(*what), redux=Redux(*what))


def _bits(quantize: Any) -> int | None:
    return None if quantize == "none" else int(quantize)


def _identity(model: Any, resolve: Callable[[str], Checkpoint]) -> str | None:
    if not isinstance(model, str):
        return None
    checkpoint = resolve(model)
    if checkpoint.repo is None or _COMMIT.fullmatch(checkpoint.revision or ""):
        return checkpoint.identity
    return f"{checkpoint.identity} {commit_of(checkpoint.repo, checkpoint.revision)}"  # a branch may move


def _model_problems(
    model: Any, resolve: Callable[[str], Checkpoint], parts: Iterable[str]
) -> Iterable[Problem]:
    if not isinstance(model, str):
        return
    try:
        faults = resolve(model).faults(*parts)
    except ModelError as error:
        yield Problem("model", str(error), "Name another model.", found=model)
        return
    for fault in faults:
        yield Problem("model", fault, "Fix the folder, or name another model.", found=model)


def _model_effects(
    model: Any, resolve: Callable[[str], Checkpoint], parts: Sequence[str]
) -> Iterable[Effect]:
    if not isinstance(model, str):
        return
    checkpoint = resolve(model)
    if checkpoint.folder is not None:
        yield Effect("model", str(checkpoint.folder), "model")
    elif checkpoint.repo is not None and (missing := checkpoint.missing(*parts)):
        yield Effect("download", checkpoint.repo, "model", download_bytes(checkpoint.repo, missing))
