"""The loaders of city96's ComfyUI-GGUF, which workflows with GGUF files name.

Every loader here reads GGUF files; these are ComfyUI's own under the names of that package, and take other
files too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from run_graph.graph import Context, Field, Node
from run_graph.graph.declaration import ADDED
from run_graph.nodes.comfyui.model_loaders import (
    CLIPLoader,
    EncoderPair,
    Encoders,
    EncodersChoice,
    SingleEncoder,
    Transformer,
    UNETLoader,
)
from run_graph.nodes.model_inputs import BITS, ModelChoice, Quantize

_CATEGORY = "comfyui/loaders"
_FILE = "Name of a GGUF file in the folders of models, or of anything that "
_NOT_NEEDED = "Has no effect: weights are computed with as they are stored."

NumberFormat = Literal["default", "target", "float32", "float16", "bfloat16"]


class UnetLoaderGGUF(ModelChoice, Node):
    """Choose a FLUX.1 transformer in a GGUF file."""

    category = _CATEGORY
    models: ClassVar = UNETLoader.models

    unet_name: str = Field(description=f"{_FILE}UNETLoader takes.")
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> Transformer:
        return UNETLoader(unet_name=self.unet_name, quantize=self.quantize).run(ctx)


class UnetLoaderGGUFAdvanced(ModelChoice, Node):
    """Choose a FLUX.1 transformer in a GGUF file. The other inputs have no effect."""

    category = _CATEGORY
    models: ClassVar = UNETLoader.models

    unet_name: str = Field(description=f"{_FILE}UNETLoader takes.")
    dequant_dtype: NumberFormat = Field(default="default", description=_NOT_NEEDED)
    patch_dtype: NumberFormat = Field(default="default", description=_NOT_NEEDED)
    patch_on_device: bool = Field(default=False, description=_NOT_NEEDED)
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> Transformer:
        return UNETLoader(unet_name=self.unet_name, quantize=self.quantize).run(ctx)


class CLIPLoaderGGUF(ModelChoice, Node):
    """Choose a model's text encoders by its name. DualCLIPLoaderGGUF takes files that have one of the two."""

    category = _CATEGORY
    models: ClassVar = CLIPLoader.models

    clip_name: str = Field(description=f"{_FILE}CLIPLoader takes.")
    type: SingleEncoder = Field(
        default="stable_diffusion", description="Has no effect: prompts are encoded for FLUX.1."
    )
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)

    def run(self, ctx: Context) -> Encoders:
        return CLIPLoader(clip_name=self.clip_name, quantize=self.quantize).run(ctx)


class DualCLIPLoaderGGUF(EncodersChoice, Node):
    """Choose FLUX.1's two text encoders, T5 and CLIP, in either order; one or both in GGUF files."""

    category = _CATEGORY

    clip_name1: str = Field(description=f"{_FILE}DualCLIPLoader takes.")
    clip_name2: str = Field(description="The other encoder, or the same model.")
    type: EncoderPair = Field(description="What they are for: `flux`.")
    quantize: Quantize = Field(default="none", description=BITS, json_schema_extra=ADDED)
