"""Model loaders. They only return handles; a node loads the weights that it computes with."""

from __future__ import annotations

from typing import ClassVar

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.model_inputs import BITS, ModelChoice, ModelInput, Quantize, bits
from run_graph.runtime.models.components import FLUX_PARTS, REDUX_PARTS, TEXT_PARTS
from run_graph.runtime.models.handles import Flux, Redux, Siglip, TextEncoders, Vae
from run_graph.runtime.models.names import resolve_flux_model, resolve_redux_model


class FluxHandles(Outputs):
    flux: Flux = Field(description="The transformer.")
    text_encoders: TextEncoders = Field(description="T5 and CLIP, which encode prompts.")
    vae: Vae = Field(description="The autoencoder, which turns latents into pictures.")


class LoadFlux(ModelChoice, Node):
    """Choose a FLUX.1 model.

    `tiny` is built in, and so is `tiny-schnell`, the same without guidance. `schnell`, `dev` and `krea-dev`
    are Black Forest Labs' models. A Hugging Face repository (`org/name`) or a local folder works too, in
    diffusers' layout or as mflux-save writes it, and so does a single file, as ComfyUI uses them, by its path
    or its name in a folder of models. Networks that such a file lacks are read from well-known files in these
    folders, or else are those of schnell, which are dev's too. This node loads nothing: a node loads the
    weights that it computes with when it first runs.
    """

    category = "loaders"
    models: ClassVar = (ModelInput("model", resolve_flux_model, FLUX_PARTS),)

    model: str = Field(
        default="tiny", description="`tiny`, `schnell`, `dev`, `krea-dev`, a repository, a folder or a file."
    )
    quantize: Quantize = Field(default="none", description=BITS)

    def run(self, ctx: Context) -> FluxHandles:
        model, precision = resolve_flux_model(self.model), bits(self.quantize)
        return FluxHandles(
            flux=Flux(model.of("transformer"), precision),
            text_encoders=TextEncoders(model.of(*TEXT_PARTS), precision),
            vae=Vae(model.of("vae"), precision),
        )


class ReduxHandles(Outputs):
    siglip: Siglip = Field(description="SigLIP, which encodes the reference picture.")
    redux: Redux = Field(description="The Redux encoder, which turns SigLIP's output into tokens for FLUX.")


class LoadRedux(ModelChoice, Node):
    """Choose a Redux model: the picture encoders for FLUX.1.

    `tiny` is built in and is used with `LoadFlux(model="tiny")`; `dev-redux` is used with schnell, dev and
    krea-dev. This node loads nothing.
    """

    category = "loaders"
    models: ClassVar = (ModelInput("model", resolve_redux_model, REDUX_PARTS),)

    model: str = Field(default="tiny", description="`tiny`, `dev-redux`, a repository, a folder or a file.")
    quantize: Quantize = Field(default="none", description=BITS)

    def run(self, ctx: Context) -> ReduxHandles:
        model, precision = resolve_redux_model(self.model), bits(self.quantize)
        return ReduxHandles(
            siglip=Siglip(model.of("image_encoder"), precision),
            redux=Redux(model.of("image_embedder"), precision),
        )
