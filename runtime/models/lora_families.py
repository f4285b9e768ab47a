"""Which model a LoRA is for, if it is a well-known one other than FLUX.1. Imports no model code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from run_graph.runtime.models.inspection import Tensor

_UNET = r"(down|up)_blocks?[._]|mid_block[._]|input_blocks[._]|output_blocks[._]|middle_block[._]"
_BLOCKS = r"(^|\.|lora_unet__?|lora_transformer_)blocks[._]\d+[._]"

# Keys that FLUX.1 has not; the first that is found decides.
_BY_KEYS = {
    r"lora_prior_|down_downscalers|up_upscalers": "Stable Cascade",
    _UNET: "Stable Diffusion 1, 2 or XL",
    r"(^|[._])joint_blocks[._]": "Stable Diffusion 3",
    r"joint_transformer_blocks[._]|double_layers[._]": "AuraFlow",
    r"(double|single)_stream_modulation|to_qkv_mlp_proj|\d[._]ff(_context)?[._]linear_(in|out)[._]": "FLUX.2",
    r"distilled_guidance_layer": "Chroma",
    r"transformer_blocks[._]\d+[._](img|txt)_(mod|mlp)[._]": "Qwen-Image",
    r"token_refiner|double_blocks\.\d+\.(img|txt)_attn_|single_blocks[._]\d+[._]modulation[._]linear|"
    r"double_blocks[._]\d+[._](img|txt)_(mod[._]linear|mlp[._]fc)": "HunyuanVideo",
    r"(double|single)_stream_blocks[._]": "HiDream",
    _BLOCKS + r"(self_attn|cross_attn)[._][qkvo]_proj": "Cosmos or Anima",
    _BLOCKS + r"(self_attn|cross_attn|attn[12])[._]": "Wan",
    r"(^|[._])(context|noise)_refiner[._]|(^|[._])layers[._]\d+[._](attention|feed_forward)[._]": (
        "Z-Image or Lumina"
    ),
    r"transformer_blocks[._]\d+[._]attn[12][._]": "LTX-Video, PixArt or another model of that kind",
}

# The width of the text that a Stable Diffusion's cross-attention reads tells its version.
_CROSS_ATTENTION = re.compile(r"attn2[._](processor[._])?to_[kv].*(lora_A|down)(\.default)?(\.weight)?$")
_TEXT_WIDTHS = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
_LUMINA = re.compile(r"layers[._]\d+[._](attention|feed_forward).*(lora_A|down)(\.default)?(\.weight)?$")
_LUMINA_WIDTHS = {3840: "Z-Image", 2304: "Lumina Image 2"}

# FLUX.1 is 3072 wide and has 19 joint and 38 single blocks. These have layers of the same names.
_WIDTHS = {
    1536: "Stable Diffusion 3",
    2432: "Stable Diffusion 3.5 Large",
    4096: "FLUX.2 klein 9B",
    6144: "FLUX.2",
}
FLUX_WIDTH = 3072
_JOINT_BLOCKS, _SINGLE_BLOCKS = 19, 38
_PIXEL_INPUTS = {128: "FLUX.1 Depth or Canny, which draws after a control picture", 384: "FLUX.1 Fill"}


@dataclass
class Sizes:
    """What the layers of a file tell about the model that they are for.

    Attributes
    ----------
    width : int or None
        Of the transformer: the inputs of its attention.
    pixel_inputs : int or None
        Of the layer that reads the latent picture.
    joint, single : int
        The highest number of a joint and of a single block, plus 1.
    gated : bool
        Whether a feed-forward has half as many rows again, as FLUX.2's have.
    """

    width: int | None = None
    pixel_inputs: int | None = None
    joint: int = 0
    single: int = 0
    gated: bool = False

    def count(self, single: bool, number: int) -> None:
        """Note a block."""
        if single:
            self.single = max(self.single, number + 1)
        else:
            self.joint = max(self.joint, number + 1)

    def see(self, layers: Sequence[str], outputs: int, inputs: int) -> None:
        """Note the size of a layer, or of several that a file fuses."""
        if layers[0] == "x_embedder":
            self.pixel_inputs = inputs
        elif layers[0].endswith(("attn.to_q", "attn.add_q_proj")):
            self.width = inputs
            self.gated |= len(layers) == 4 and outputs == 9 * inputs
        elif layers[0].endswith(("ff.linear1", "ff_context.linear1")):
            self.gated |= outputs == 6 * inputs


def by_keys(tensors: Mapping[str, Tensor]) -> str | None:
    """The model, by the names of a file's tensors; None if they may be FLUX.1's."""
    text = "\n".join(tensors)
    found = next((name for pattern, name in _BY_KEYS.items() if re.search(pattern, text, re.M)), None)
    if found == _BY_KEYS[_UNET]:
        return _by_inputs(tensors, _CROSS_ATTENTION, _TEXT_WIDTHS) or found
    if found == "Z-Image or Lumina":
        return _by_inputs(tensors, _LUMINA, _LUMINA_WIDTHS) or found
    return found


def by_sizes(sizes: Sizes) -> str | None:
    """The model, by the sizes of layers that have the names of FLUX.1's; None if it may be FLUX.1."""
    if sizes.pixel_inputs in _PIXEL_INPUTS:
        return _PIXEL_INPUTS[sizes.pixel_inputs]
    if sizes.gated:
        return "FLUX.2"
    if sizes.width in _WIDTHS:
        return _WIDTHS[sizes.width]
    if sizes.width == FLUX_WIDTH and sizes.joint > _JOINT_BLOCKS and not sizes.single:
        return "Qwen-Image"
    if sizes.width == FLUX_WIDTH and (sizes.joint > _JOINT_BLOCKS or sizes.single > _SINGLE_BLOCKS):
        return "HunyuanVideo"
    return None


def _by_inputs(tensors: Mapping[str, Tensor], layer: re.Pattern[str], names: Mapping[int, str]) -> str | None:
    """The model, by the inputs of the first layer whose key matches."""
    inputs = (each.shape[1] for key, each in tensors.items() if layer.search(key) and len(each.shape) > 1)
    return next((names[size] for size in inputs if size in names), None)
