"""Prompts and reference pictures as ComfyUI encodes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.nodes.comfyui.conditioning import ConditioningOut
from run_graph.runtime.generation import Reference
from run_graph.runtime.models.handles import Redux, Siglip, TextEncoders
from run_graph.runtime.values import Conditioning, Entry, Image, Mask, ReduxTokens, Vision

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from run_graph.runtime.models.loading import LoadedComponent

_PROMPT: dict[str, Any] = {"multiline": True, "dynamicPrompts": True}


class CLIPTextEncode(Node):
    """Encode a prompt, with weights: `(a fox)` counts 1.1 times, `(a fox:1.3)` 1.3 times.

    T5 reads all of it, CLIP the beginning. TextEncode is our own: it follows mflux and knows no weights.
    """

    category = "comfyui/conditioning"

    text: str = Field(description="The prompt.", json_schema_extra=_PROMPT)
    clip: TextEncoders = Field(description="T5 and CLIP.")

    def run(self, ctx: Context) -> ConditioningOut:
        return ConditioningOut(conditioning=_encoded(ctx, self.clip, self.text, self.text))


class CLIPTextEncodeFlux(Node):
    """Encode one prompt for CLIP and one for T5, and set the guidance."""

    category = "comfyui/conditioning"

    clip: TextEncoders = Field(description="T5 and CLIP.")
    clip_l: str = Field(description="CLIP's prompt, which sets the overall tone.", json_schema_extra=_PROMPT)
    t5xxl: str = Field(description="T5's prompt, which says what is drawn.", json_schema_extra=_PROMPT)
    guidance: float = Field(default=3.5, ge=0, le=100, description="How closely FLUX.1 dev follows it.")

    def run(self, ctx: Context) -> ConditioningOut:
        found = _encoded(ctx, self.clip, self.clip_l, self.t5xxl)
        return ConditioningOut(
            conditioning=found.with_entries(lambda entry: replace(entry, guidance=self.guidance))
        )


class VisionOut(Outputs):
    clip_vision_output: Vision = Field(description="SigLIP's hidden states.")


class CLIPVisionEncode(Node):
    """Encode a reference picture with SigLIP. SiglipEncode is our own, with more ways to make it square."""

    category = "comfyui/conditioning"

    clip_vision: Siglip = Field(description="The vision tower.")
    image: Image = Field(description="The picture; each of a batch is encoded.")
    crop: Literal["center", "none"] = Field(
        default="center",
        description="Whether the middle square is seen, or all of it, squashed to a square.",
    )

    def run(self, ctx: Context) -> VisionOut:
        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.networks import siglip
        from run_graph.runtime.networks.vision_input import comfyui_pixels

        handle = self.clip_vision
        tower = ctx.service(ModelStore).get(handle.checkpoint, "image_encoder", handle.quantize)
        pixels = comfyui_pixels(self.image.samples, siglip.image_size(tower.config), self.crop == "center")
        return VisionOut(clip_vision_output=_seen(tower, pixels, self.image))


class StyleModelApply(Node):
    """Append a reference picture's Redux tokens to the prompt's."""

    category = "comfyui/conditioning"

    conditioning: Conditioning = Field(description="The prompt.")
    style_model: Redux = Field(description="The Redux encoder.")
    clip_vision_output: Vision = Field(description="The picture, from CLIPVisionEncode.")
    strength: float = Field(default=1.0, ge=0, le=10, description="How much the picture counts.")
    strength_type: Literal["multiply", "attn_bias"] = Field(
        default="multiply",
        description="Whether the tokens are multiplied, or the attention that is paid to them.",
    )

    def run(self, ctx: Context) -> ConditioningOut:
        from run_graph.runtime.networks.picture_tokens import with_tokens

        found = _redux_tokens(ctx, self.style_model, self.clip_vision_output)
        multiply = self.strength_type == "multiply"
        tokens = found.tokens * self.strength if multiply and self.strength != 1 else found.tokens
        reference = replace(found.reference, strength=self.strength)
        attention = 1.0 if multiply else self.strength

        def with_picture(entry: Entry) -> Entry:
            joined = with_tokens(entry, tokens, attention)
            return replace(joined, references=(*entry.references, reference))

        return ConditioningOut(conditioning=self.conditioning.with_entries(with_picture))


class StyleModelApplySimple(Node):
    """Append a reference picture's Redux tokens, fewer of them for less influence (kaibioinfo)."""

    category = "comfyui/conditioning"

    conditioning: Conditioning = Field(description="The prompt.")
    style_model: Redux = Field(description="The Redux encoder.")
    clip_vision_output: Vision = Field(description="The picture, from CLIPVisionEncode.")
    image_strength: Literal["highest", "high", "medium", "low", "lowest"] = Field(
        default="medium", description="How much the picture counts: all tokens, or a smaller grid of them."
    )

    def run(self, ctx: Context) -> ConditioningOut:
        from run_graph.runtime.networks.picture_tokens import simple, with_tokens

        found = _redux_tokens(ctx, self.style_model, self.clip_vision_output)
        tokens = simple(found.tokens, self.image_strength)
        reference = replace(found.reference, mode=self.image_strength, tokens=tokens.shape[1])

        def with_picture(entry: Entry) -> Entry:
            return replace(with_tokens(entry, tokens), references=(*entry.references, reference))

        return ConditioningOut(conditioning=self.conditioning.with_entries(with_picture))


class Advanced(Outputs):
    conditioning: Conditioning = Field(description="The prompt with the picture's tokens.")
    image: Image = Field(description="The square that the vision tower saw.")
    mask: Mask | None = Field(description="The mask of that square; nothing without a mask.")


class ReduxAdvanced(Node):
    """Append a reference picture's Redux tokens: which part of it, and how strongly (kaibioinfo)."""

    category = "comfyui/conditioning"

    conditioning: Conditioning = Field(description="The prompt.")
    style_model: Redux = Field(description="The Redux encoder.")
    clip_vision: Siglip = Field(description="The vision tower.")
    image: Image = Field(description="The picture.")
    downsampling_factor: float = Field(
        default=3.0, ge=1, le=9, description="What each side of the token grid is divided by."
    )
    downsampling_function: Literal["nearest", "bilinear", "bicubic", "area", "nearest-exact"] = Field(
        default="area", description="How the smaller grid is computed."
    )
    mode: Literal["center crop (square)", "keep aspect ratio", "autocrop with mask"] = Field(
        default="center crop (square)", description="Which part of the picture is seen."
    )
    weight: float = Field(default=1.0, ge=0, le=1, description="Its square is a factor on the tokens.")
    mask: Mask | None = Field(default=None, description="What of the picture is wanted.")
    autocrop_margin: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="How far the box around the mask is enlarged: share of the sides.",
    )

    def run(self, ctx: Context) -> Advanced:
        import numpy as np

        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.networks import siglip
        from run_graph.runtime.networks.picture_tokens import advanced, framed, patch_mask, with_tokens
        from run_graph.runtime.networks.token_counts import side_of
        from run_graph.runtime.networks.vision_input import comfyui_pixels

        if self.image.shape[0] != 1:
            raise ValueError(
                f"ReduxAdvanced takes one picture, not {self.image.shape[0]}; chain one node for each"
            )
        tower = ctx.service(ModelStore).get(
            self.clip_vision.checkpoint, "image_encoder", self.clip_vision.quantize
        )
        size = siglip.image_size(tower.config)
        wanted = None if self.mask is None else self.mask.values[0]
        pixels, shown = framed(self.image.pixels[0, ..., :3], wanted, self.mode, self.autocrop_margin, size)
        vision = _seen(tower, comfyui_pixels(pixels[None], size, crop=True), self.image)
        found = _redux_tokens(ctx, self.style_model, vision)
        patches = None if shown is None else patch_mask(shown, side_of(found.tokens.shape[1]))
        tokens = advanced(
            found.tokens, patches, self.downsampling_factor, self.downsampling_function, self.weight
        )
        reference = replace(
            found.reference,
            factor=self.downsampling_factor,
            interpolation=self.downsampling_function,
            strength=self.weight,
            tokens=tokens.shape[1],
        )

        def with_picture(entry: Entry) -> Entry:
            return replace(with_tokens(entry, tokens), references=(*entry.references, reference))

        return Advanced(
            conditioning=self.conditioning.with_entries(with_picture),
            image=Image(np.ascontiguousarray(pixels[None])),
            mask=None if shown is None else Mask(shown[None]),
        )


def _encoded(ctx: Context, encoders: TextEncoders, clip_text: str, t5_text: str) -> Conditioning:
    from run_graph.runtime.models.store import ModelStore
    from run_graph.runtime.models.weighted_text import encode_weighted

    found = encode_weighted(ctx.service(ModelStore), encoders, clip_text, t5_text)
    for warning in found.warnings:
        ctx.warn(warning)
    return Conditioning.of(found.tokens, found.pooled, t5_text, found.warnings)


def _seen(tower: LoadedComponent, pixels: npt.NDArray[np.float32], image: Image) -> Vision:
    """SigLIP's hidden states of prepared pictures."""
    import mlx.core as mx

    from run_graph.runtime.networks import siglip

    hidden = siglip.encode(tower.module, tower.config, mx.array(pixels))
    mx.eval(hidden)
    path = None if image.source is None else image.source.path
    return Vision(hidden, Reference(path=path))


def _redux_tokens(ctx: Context, redux: Redux, vision: Vision) -> ReduxTokens:
    """All pictures' tokens in one run, (1, T, D)."""
    from run_graph.nodes.redux import ReduxEncode

    found = ReduxEncode(redux=redux, vision=vision).run(ctx).tokens
    return ReduxTokens(found.tokens.reshape(1, -1, found.tokens.shape[-1]), found.reference)
