"""Files that are not FLUX.1's, or that another program packed: what they are, and what to use instead.

Told by the names and shapes of their tensors and by their metadata. Sources: `model_detection.py` of ComfyUI,
`quantizer` of bitsandbytes, `convert.py` of nunchaku, `model_io.py` of DiffusionKit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from run_graph.runtime.models.inspection import MFLUX, Header

_FLUX = "Use FLUX.1 dev, schnell or krea-dev, or a model that was made from one of them."
_SIGLIP = "Use SigLIP so400m for 384 pixels (sigclip_vision_patch14_384), which Redux was trained with."
_PLAIN = "Use the same model in float32, float16, bfloat16 or fp8, and set quantize to make it smaller."


class _Foreign(NamedTuple):
    """A kind of file: a pattern that one of its tensors' names has, what it is, and what to use instead."""

    pattern: str
    what: str
    instead: str


# The first that fits counts.
_BY_NAME = tuple(
    (re.compile(each.pattern, re.MULTILINE), each)
    for each in (
        _Foreign(
            r"\.(qweight|wscales|smooth_factor)$",
            "was quantised by nunchaku (SVDQuant), whose weights are packed for NVIDIA's GPUs",
            _PLAIN,
        ),
        _Foreign(
            r"\.(absmax|quant_map|quant_state\.bitsandbytes__\w+)$", "was quantised by bitsandbytes", _PLAIN
        ),
        _Foreign(r"(^|\.)multimodal_transformer_blocks\.", "was quantised by DiffusionKit", _PLAIN),
        _Foreign(r"(^|\.)(double|single)_stream_modulation", "is FLUX.2, another network than FLUX.1", _FLUX),
        _Foreign(r"(^|\.)distilled_guidance_layer\.", "is Chroma, another network than FLUX.1", _FLUX),
        _Foreign(r"(^|\.)controlnet_(x_embedder|blocks|single_blocks)", "is a ControlNet for FLUX", _FLUX),
        _Foreign(r"(^|\.)joint_blocks\.\d", "is Stable Diffusion 3", _FLUX),
        _Foreign(r"(^|\.)conditioner\.embedders\.", "is Stable Diffusion XL", _FLUX),
        _Foreign(r"(^|\.)cond_stage_model\.", "is Stable Diffusion 1 or 2", _FLUX),
        _Foreign(r"(^|\.)(input_blocks|output_blocks)\.\d", "is a UNet of Stable Diffusion", _FLUX),
        _Foreign(
            r"(^|\.)down_blocks\.\d+\.attentions\.\d.*\.transformer_blocks\.", "is Stable Diffusion", _FLUX
        ),
        _Foreign(r"(^|\.)txt_in\.individual_token_refiner", "is HunyuanVideo", _FLUX),
        _Foreign(r"(^|\.)transformer_blocks\.\d+\.img_mod\.1\.", "is Qwen-Image", _FLUX),
        _Foreign(r"(^|\.)cap_embedder\.", "is Lumina 2 or Z-Image", _FLUX),
        _Foreign(r"(^|\.)blocks\.\d+\.cross_attn\.", "is Wan, a video model", _FLUX),
        _Foreign(
            r"lora_(A|B|up|down)\b|\.(hada|lokr)_w\d",
            "is a LoRA, a change to a model and not a model",
            "Give it to LoadLora, and name a FLUX.1 model here.",
        ),
    )
)

_FILL = f"is FLUX.1 Fill, which needs a picture and a mask as further input. {_FLUX}"
_CONTROL = f"is FLUX.1 Depth or Canny, which needs a control picture as further input. {_FLUX}"
_EDIT = f"which needs a picture to edit as further input. {_FLUX}"
# Widths of the picture's input: FLUX.1's own is 64.
_INPUTS = {
    384: _FILL,
    128: _CONTROL,
    96: f"is a FLUX.1 model for inpainting, which needs a mask as further input. {_FLUX}",
}
_PIPELINES = {"FluxKontextPipeline": f"is FLUX.1 Kontext, {_EDIT}"}
_REPOSITORIES = (
    (r"^black-forest-labs/FLUX\.1-Kontext", f"is FLUX.1 Kontext, {_EDIT}"),
    (r"^black-forest-labs/FLUX\.1-Fill", _FILL),
    (r"^black-forest-labs/FLUX\.1-(Depth|Canny)-dev$", _CONTROL),
    (r"^black-forest-labs/FLUX\.2", f"is FLUX.2, another network than FLUX.1. {_FLUX}"),
)
_PICTURE_IN = re.compile(r"(?:^|\.)(?:img_in|x_embedder)\.weight$")
_LATENT_IN = re.compile(r"(?:^|\.)decoder\.conv_in\.weight$")
_LATENT_CHANNELS = 16
_KONTEXT = re.compile(r"kontext", re.IGNORECASE)
_TITLES = ("modelspec.title", "modelspec.architecture", "model_class")


def foreign(header: Header, path: Path) -> str | None:
    """What a file is that is not FLUX.1's or cannot be read, and what to use instead; or None.

    FLUX.1 Kontext looks like FLUX.1 dev: only its metadata or its name says what it is.
    """
    if "quantization_config" in header.metadata and "model_class" in header.metadata:
        return f"{_BY_NAME[0][1].what}. {_BY_NAME[0][1].instead}"
    names = "\n".join(header.tensors)
    for pattern, each in _BY_NAME:
        if pattern.search(names):
            return f"{each.what}. {each.instead}"
    if any(name.endswith(".scales") for name in header.tensors) and not MFLUX & header.metadata.keys():
        return f"was quantised by MLX in another program, such as flux.swift. {_PLAIN}"
    for name, tensor in header.tensors.items():
        if _LATENT_IN.search(name) and len(tensor.shape) == 4 and tensor.shape[1] != _LATENT_CHANNELS:
            like = {4: "Stable Diffusion's", 32: "FLUX.2's"}.get(tensor.shape[1], "another model's")
            return f"is an autoencoder of {tensor.shape[1]} channels, such as {like}. Use FLUX.1's (`ae`)."
        if _PICTURE_IN.search(name) and len(tensor.shape) == 2 and tensor.shape[1] in _INPUTS:
            return _INPUTS[tensor.shape[1]]
    return _kontext(header.metadata, path)


def _kontext(metadata: Mapping[str, str], path: Path) -> str | None:
    if any(_KONTEXT.search(metadata.get(title, "")) for title in _TITLES):
        says = "its metadata says"
    elif _KONTEXT.search(path.name):
        says = "its name says"
    else:
        return None
    return f"is FLUX.1 Kontext, as {says}, {_EDIT}"


def foreign_folder(config: Mapping[str, Any], index: Mapping[str, Any]) -> str | None:
    """What a component's folder is that is not FLUX.1's or cannot be read, by its settings; or None.

    Parameters
    ----------
    config
        Its config.json.
    index
        model_index.json of the folder above.
    """
    quantised = config.get("quantization_config")
    if isinstance(quantised, Mapping):
        return f"was quantised by {quantised.get('quant_method', 'another program')}. {_PLAIN}"
    return _PIPELINES.get(str(index.get("_class_name")))


def foreign_repository(repo: str) -> str | None:
    """What a published repository is that is not FLUX.1's, told before it is downloaded; or None."""
    return next((says for pattern, says in _REPOSITORIES if re.search(pattern, repo)), None)


def other_network(header: Header) -> str | None:
    """What a file is that holds a network of a kind that FLUX.1 has too, but not its own; or None."""
    for name, tensor in header.tensors.items():
        if name.endswith("embeddings.class_embedding"):
            return f"is CLIP's vision model. {_SIGLIP}"
        if name.endswith("embeddings.patch_embedding.weight") and len(tensor.shape) == 2:
            return f"is SigLIP 2 for pictures of any size (NaFlex). {_SIGLIP}"
    return None
