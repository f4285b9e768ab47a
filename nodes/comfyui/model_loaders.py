"""ComfyUI's model loaders. They only return handles; a node loads the weights that it computes with.

A file is found by its name in the user's folders; a well-known one that is not there is read from whoever
published its weights (:mod:`runtime.models.names`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from run_graph.graph import Context, Effect, Environment, Field, Node, Outputs, Problem
from run_graph.graph.declaration import ADDED
from run_graph.nodes.model_inputs import BITS, ModelChoice, ModelInput, Quantize, bits, reading
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import TEXT_PARTS
from run_graph.runtime.models.handles import Flux, Redux, Siglip, TextEncoders, Vae
from run_graph.runtime.models.known_files import (
    STYLE_MODEL,
    TEXT_ENCODER,
    TRANSFORMER,
    VAE,
    VISION,
    bits_in_name,
)
from run_graph.runtime.models.names import (
    resolve,
    resolve_both_text_encoders,
    resolve_text_encoders,
    resolve_whole,
    resolver,
)

_FILE = "Name of a file in the folders of models, of a well-known one, or a model as in "
_FLUX_FILE = f"{_FILE}LoadFlux."
_REDUX_FILE = f"{_FILE}LoadRedux."
_DEVICE = "Has no effect: one memory serves all of this machine's processors."

Device = Literal["default", "cpu"]


class Transformer(Outputs):
    model: Flux = Field(description="The transformer.")


class Encoders(Outputs):
    clip: TextEncoders = Field(description="T5 and CLIP, which encode prompts.")


class Autoencoder(Outputs):
    vae: Vae = Field(description="The autoencoder.")


class VisionTower(Outputs):
    clip_vision: Siglip = Field(description="SigLIP, which encodes reference pictures.")


class StyleModel(Outputs):
    style_model: Redux = Field(description="The Redux encoder.")


class WholeModel(Outputs):
    model: Flux = Field(description="The transformer.")
    clip: TextEncoders = Field(description="T5 and CLIP, which encode prompts.")
    vae: Vae = Field(description="The autoencoder.")


# What ComfyUI's text encoders may be for; FLUX.1's are the only ones here.
SingleEncoder = Literal[
    "stable_diffusion",
    "stable_cascade",
    "sd3",
    "stable_audio",
    "mochi",
    "ltxv",
    "pixart",
    "cosmos",
    "lumina2",
    "wan",
    "hidream",
    "chroma",
    "ace",
    "omnigen2",
    "qwen_image",
    "hunyuan_image",
    "flux2",
    "ovis",
    "longcat_image",
    "cogvideox",
    "lens",
    "pixeldit",
    "ideogram4",
    "boogu",
    "krea2",
    "joyimage",
    "mage",
    "minimax",
]
EncoderPair = Literal[
    "sdxl",
    "sd3",
    "flux",
    "hunyuan_video",
    "hidream",
    "hunyuan_image",
    "hunyuan_video_15",
    "kandinsky5",
    "kandinsky5_image",
    "ltxv",
    "newbie",
    "ace",
]


def _note_precision(ctx: Context, quantize: Any, checkpoint: Checkpoint, *names: str) -> None:
    """Say that weights are not in few bits although the name of a file that is not there says so."""
    if quantize == "none" and not checkpoint.files:
        for name in names:
            if (bits := bits_in_name(name)) is not None:
                _warn_of_bits(ctx, name, bits)


def _warn_of_bits(ctx: Context, what: str, bits: int) -> None:
    ctx.warn(
        f"{what} asks for weights in {bits} bits; they are read in the precision they were published in. Set "
        f"quantize to {max(bits, 3)} to use less memory"
    )


class UNETLoader(ModelChoice, Node):
    """Choose a FLUX.1 transformer."""

    category = "comfyui/loaders"
    models: ClassVar = (ModelInput("unet_name", resolver(TRANSFORMER), ("transformer",)),)

    unet_name: str = Field(description=_FLUX_FILE)
    weight_dtype: Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"] = Field(
        default="default", description="Has no effect: weights are not kept in these formats; see `quantize`."
    )
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> Transformer:
        checkpoint = resolve(TRANSFORMER, self.unet_name)
        if self.weight_dtype != "default" and self.quantize == "none":
            _warn_of_bits(ctx, f"weight_dtype {self.weight_dtype}", 8)
        else:
            _note_precision(ctx, self.quantize, checkpoint, self.unet_name)
        return Transformer(model=Flux(checkpoint, bits(self.quantize)))


class EncodersChoice:
    """What nodes have in common that choose two text encoders, beside :class:`graph.Node`."""

    if TYPE_CHECKING:  # The nodes declare them, each in the order of its class.
        clip_name1: str
        clip_name2: str
        type: EncoderPair
        quantize: Quantize

    def check(self, env: Environment) -> Iterable[Problem]:
        if isinstance(self.type, str) and self.type != "flux":
            yield Problem("type", "prompts are encoded for FLUX.1 only", "Choose flux.", found=self.type)
        first = resolver(TEXT_ENCODER)
        names = self.clip_name1, self.clip_name2
        second = partial(resolve_text_encoders, names[0]) if isinstance(names[0], str) else first
        problems = list(ModelInput("clip_name1", first, ()).problems(self))
        yield from problems or ModelInput("clip_name2", second, TEXT_PARTS).problems(self)

    def effects(self, env: Environment) -> Iterable[Effect]:
        if (checkpoint := self._chosen()) is not None:
            yield from reading(checkpoint, TEXT_PARTS)

    def fingerprint(self, env: Environment) -> Any:
        checkpoint = self._chosen()
        return checkpoint and checkpoint.fingerprint()

    def _chosen(self) -> Checkpoint | None:
        names = self.clip_name1, self.clip_name2
        return resolve_text_encoders(*names) if all(isinstance(name, str) for name in names) else None

    def run(self, ctx: Context) -> Encoders:
        checkpoint = resolve_text_encoders(self.clip_name1, self.clip_name2)
        _note_precision(ctx, self.quantize, checkpoint, self.clip_name1, self.clip_name2)
        return Encoders(clip=TextEncoders(checkpoint, bits(self.quantize)))


class DualCLIPLoader(EncodersChoice, Node):
    """Choose FLUX.1's two text encoders, T5 and CLIP, in either order."""

    category = "comfyui/loaders"

    clip_name1: str = Field(description=_FLUX_FILE)
    clip_name2: str = Field(description="The other encoder, or the same model.")
    type: EncoderPair = Field(description="What they are for: `flux`.")
    device: Device = Field(default="default", description=_DEVICE)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)


class CLIPLoader(ModelChoice, Node):
    """Choose a model's text encoders by its name. DualCLIPLoader takes files that have one of the two."""

    category = "comfyui/loaders"
    models: ClassVar = (ModelInput("clip_name", resolve_both_text_encoders, TEXT_PARTS),)

    clip_name: str = Field(description="A model as in LoadFlux, or a file that has both encoders.")
    type: SingleEncoder = Field(
        default="stable_diffusion", description="Has no effect: prompts are encoded for FLUX.1."
    )
    device: Device = Field(default="default", description=_DEVICE)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> Encoders:
        checkpoint = resolve_both_text_encoders(self.clip_name)
        return Encoders(clip=TextEncoders(checkpoint, bits(self.quantize)))


class VAELoader(ModelChoice, Node):
    """Choose FLUX.1's autoencoder."""

    category = "comfyui/loaders"
    models: ClassVar = (ModelInput("vae_name", resolver(VAE), ("vae",)),)

    vae_name: str = Field(description=_FLUX_FILE)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> Autoencoder:
        checkpoint = resolve(VAE, self.vae_name)
        _note_precision(ctx, self.quantize, checkpoint, self.vae_name)
        return Autoencoder(vae=Vae(checkpoint, bits(self.quantize)))


class CLIPVisionLoader(ModelChoice, Node):
    """Choose SigLIP, which encodes reference pictures for Redux."""

    category = "comfyui/loaders"
    models: ClassVar = (ModelInput("clip_name", resolver(VISION), ("image_encoder",)),)

    clip_name: str = Field(description=_REDUX_FILE)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> VisionTower:
        checkpoint = resolve(VISION, self.clip_name)
        _note_precision(ctx, self.quantize, checkpoint, self.clip_name)
        return VisionTower(clip_vision=Siglip(checkpoint, bits(self.quantize)))


class StyleModelLoader(ModelChoice, Node):
    """Choose the Redux encoder, which turns SigLIP's output into tokens for FLUX.1."""

    category = "comfyui/loaders"
    models: ClassVar = (ModelInput("style_model_name", resolver(STYLE_MODEL), ("image_embedder",)),)

    style_model_name: str = Field(description=_REDUX_FILE)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> StyleModel:
        checkpoint = resolve(STYLE_MODEL, self.style_model_name)
        _note_precision(ctx, self.quantize, checkpoint, self.style_model_name)
        return StyleModel(style_model=Redux(checkpoint, bits(self.quantize)))


class CheckpointLoaderSimple(ModelChoice, Node):
    """Choose a FLUX.1 model: transformer, text encoders and autoencoder."""

    category = "comfyui/loaders"
    models: ClassVar = (
        ModelInput("ckpt_name", lambda name: resolve_whole(name).transformer, ("transformer",)),
        ModelInput("ckpt_name", lambda name: resolve_whole(name).others, (*TEXT_PARTS, "vae")),
    )

    ckpt_name: str = Field(description=_FLUX_FILE)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> WholeModel:
        transformer, others = resolve_whole(self.ckpt_name)
        _note_precision(ctx, self.quantize, transformer, self.ckpt_name)
        width = bits(self.quantize)
        return WholeModel(
            model=Flux(transformer, width), clip=TextEncoders(others, width), vae=Vae(others, width)
        )
