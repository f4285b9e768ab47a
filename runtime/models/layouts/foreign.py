"""Files that are not FLUX.1's, or that another program packed: what they are, and what to use instead.

Told by the names and shapes of their tensors and by their metadata. Sources: `model_detection.py` of ComfyUI,
`quantizer` of bitsandbytes, `convert.py` of nunchaku, `model_io.py` of DiffusionKit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from run_graph.runtime.models.inspection import Header

_FLUX = "Use FLUX.1 dev, schnell or krea-dev, or a model that was made from one of them."
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
            "is a LoRA, a change to a model and no model",
            "Give it to LoadLora, and name a FLUX.1 model here.",
        ),
    )
)

# Widths of the picture's input: FLUX.1's own is 64.
_INPUTS = {
    384: ("FLUX.1 Fill, which needs a picture and a mask as further input", _FLUX),
    128: ("FLUX.1 Depth or Canny, which needs a control picture as further input", _FLUX),
    96: ("a FLUX.1 model for inpainting, which needs a mask as further input", _FLUX),
}
_PICTURE_IN = re.compile(r"(?:^|\.)(?:img_in|x_embedder)\.weight$")
_KONTEXT = re.compile(r"kontext", re.IGNORECASE)
_TITLES = ("modelspec.title", "modelspec.architecture", "model_class")

# How files begin that are no safetensors files.
_MAGIC: tuple[tuple[Callable[[bytes], bool], str, str], ...] = (
    (
        lambda start: start.startswith(b"SQLite format 3"),
        "is a model of Draw Things, packed in a format of its own",
        _PLAIN,
    ),
    (
        lambda start: start.startswith((b"PK\x03\x04", b"\x80\x02")),
        "is a file of PyTorch (a pickle), which may run code when it is opened and is not read",
        "Use the same model as a .safetensors file.",
    ),
)


def foreign_start(start: bytes) -> str | None:
    """What a file is, by its first bytes, that is no safetensors file, and what to use instead; or None."""
    return next((f"{what}. {instead}" for is_it, what, instead in _MAGIC if is_it(start)), None)


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
    for name, tensor in header.tensors.items():
        if _PICTURE_IN.search(name) and len(tensor.shape) == 2 and tensor.shape[1] in _INPUTS:
            what, instead = _INPUTS[tensor.shape[1]]
            return f"is {what}. {instead}"
    return _kontext(header.metadata, path)


def _kontext(metadata: Mapping[str, str], path: Path) -> str | None:
    if any(_KONTEXT.search(metadata.get(title, "")) for title in _TITLES):
        says = "its metadata says"
    elif _KONTEXT.search(path.name):
        says = "its name says"
    else:
        return None
    return f"is FLUX.1 Kontext, as {says}, which needs a picture to edit as further input. {_FLUX}"
