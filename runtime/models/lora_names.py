"""Which layer and which matrix a key of a LoRA file means. Imports no model code.

Trainers spell the same layer in many ways. A key is a prefix, a layer and a matrix. The layer has diffusers'
name or that of the original FLUX code, which fuses projections; dots may be underscores. `parse_key` reads
the files of diffusers, PEFT, kohya, ComfyUI, ai-toolkit, OneTrainer, SimpleTuner, LyCORIS (LoKr) and XLabs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from run_graph.runtime.models.components import Component
from run_graph.runtime.models.lora_text_names import find_text_layer

DOWN, UP, ALPHA, DORA = "lora_A", "lora_B", "alpha", "dora_scale"

Kind = Literal["matrix", "unsupported", "unknown"]


@dataclass(frozen=True)
class Layers:
    """What a file calls one layer.

    Attributes
    ----------
    names
        The layers in memory whose rows it fuses, in their order; mostly one.
    halves_swapped
        Whether the second half of its rows is the first in memory.
    component
        What they are layers of.
    """

    names: tuple[str, ...]
    halves_swapped: bool = False
    component: Component = "transformer"


@dataclass(frozen=True)
class ParsedKey:
    """What a key means.

    Attributes
    ----------
    kind
        `matrix` of an adapter; `unsupported`, for FLUX but in a form that cannot be applied; `unknown`.
    module
        The file's name of the layer, prefix included.
    layers
        The layers that it means; None if it means none.
    matrix
        `lora_A`, `lora_B`, `alpha`, `dora_scale`, `lokr_w1`, ...; for unsupported keys, what makes them so.
    component
        What it changes, if it is not unknown.
    """

    kind: Kind
    module: str = ""
    layers: Layers | None = None
    matrix: str = ""
    component: Component = "transformer"


def parse_key(key: str) -> ParsedKey:
    """What a key means."""
    for pattern, matrix in _MATRICES:
        if match := pattern.search(key):
            module = key[: match.start()]
            if (layers := find_layers(module)) is not None:
                return ParsedKey("matrix", module, layers, matrix or match[1], layers.component)
    parts = key.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if (layers := find_layers(".".join(parts[:end]))) is not None:
            form = _form(".".join(parts[end:]))
            return ParsedKey("unsupported", matrix=form, component=layers.component)
    if _BLOCK.match(_without_prefix(key)):
        return ParsedKey("unsupported", matrix=_form(key))
    return ParsedKey("unknown")


def other_model(keys: Iterable[str]) -> str | None:
    """The model family that these keys are for, if it is a well-known one other than FLUX.1."""
    text = "\n".join(keys)
    return next((name for pattern, name in _OTHER_MODELS.items() if re.search(pattern, text, re.M)), None)


@lru_cache(maxsize=4096)
def find_layers(module: str) -> Layers | None:
    """The layers that a file's name of a layer means, or None."""
    if (found_text := find_text_layer(module)) is not None:
        component, layer = found_text
        return Layers((layer,), component=component)
    name = _without_prefix(module)
    if (block := _BLOCK.match(name)) is None:
        return _GLOBAL.get(name.replace(".", "_"))
    family, number = block["family"], int(block["number"])
    found = _IN_BLOCKS[family].get(name[block.end() :].replace(".", "_"))
    if found is None:
        return None
    owner = "single_transformer_blocks" if family.startswith("single") else "transformer_blocks"
    return Layers(tuple(f"{owner}.{number}.{layer}" for layer in found.names), found.halves_swapped)


def _without_prefix(name: str) -> str:
    while match := _PREFIX.match(name):
        name = name[match.end() :]
    return name


def _form(suffix: str) -> str:
    """What an unsupported tensor makes the file, in the words of a message."""
    forms = (words for pattern, words in _FORMS.items() if re.search(pattern, suffix))
    return next(forms, "has other tensors")


_PREFIX = re.compile(
    r"base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|transformer\.|"
    r"lora_unet_|lora_transformer_|lycoris__?"
)
_BLOCK = re.compile(
    r"(?P<family>transformer_blocks|single_transformer_blocks|double_blocks|single_blocks)"
    r"[._](?P<number>\d+)[._]"
)

# How keys end, and the matrix that this means; "" is what the group matched. PEFT inserts the adapter's name.
_ADAPTER = r"(?:\.(?!weight$|bias$)[\w-]+)?(?:\.weight)?$"
_MATRICES = tuple(
    (re.compile(pattern), matrix)
    for pattern, matrix in (
        (rf"\.(?:lora_A|lora_down|lora\.down|lora_linear_layer\.down){_ADAPTER}", DOWN),
        (rf"\.(?:lora_B|lora_up|lora\.up|lora_linear_layer\.up){_ADAPTER}", UP),
        (r"(?<=lora)\.down\.weight$|(?<=lora[12])\.down\.weight$", DOWN),  # XLabs
        (r"(?<=lora)\.up\.weight$|(?<=lora[12])\.up\.weight$", UP),
        (r"\.alpha$", ALPHA),
        (rf"\.(?:dora_scale$|lora_magnitude_vector{_ADAPTER})", DORA),
        (r"\.(lokr_w[12](?:_[ab])?|lokr_t2)$", ""),
    )
)

_FORMS = {
    r"hada_": "is a LoHa",
    r"\bb?oft_": "is an OFT",
    r"^[ab][12]\.": "is a GLoRA",
    r"bias$|diff_b$": "changes biases",
    r"\bdiff$|set_weight$": "changes whole weights",
    r"norm": "changes normalisations",
}

_OTHER_MODELS = {
    r"(down|up)_blocks[._]|mid_block[._]|input_blocks[._]|output_blocks[._]|middle_block[._]": (
        "Stable Diffusion 1, 2 or XL"
    ),
    r"joint_blocks[._]": "Stable Diffusion 3",
    r"(double|single)_stream_modulation": "FLUX.2",
    r"distilled_guidance_layer": "Chroma",
    r"transformer_blocks[._]\d+[._](img|txt)_(mod|mlp)[._]": "Qwen-Image",
    r"(^|[._])blocks[._]\d+[._](self_attn|cross_attn)[._]": "Wan",
}


def _one(names: dict[str, str]) -> dict[str, Layers]:
    return {spelling: Layers((layer,)) for spelling, layer in names.items()}


_FEED_FORWARD = {
    f"{part}_{end}": f"{part}.{layer}"
    for part in ("ff", "ff_context")
    for layer, ends in (("linear1", ("net_0_proj", "linear1")), ("linear2", ("net_2", "linear2")))
    for end in ends
}
_JOINT = _one(
    {f"attn_{name}": f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_add_out")}
    | {f"attn_add_{name}_proj": f"attn.add_{name}_proj" for name in "qkv"}
    | {"attn_to_out_0": "attn.to_out.0", "attn_to_out": "attn.to_out.0"}
    | {"norm1_linear": "norm1.linear", "norm1_context_linear": "norm1_context.linear"}
    | _FEED_FORWARD
)
_SINGLE = _one(
    {f"attn_to_{name}": f"attn.to_{name}" for name in "qkv"}
    | {"proj_mlp": "proj_mlp", "proj_out": "proj_out", "norm_linear": "norm.linear"}
)

_IMAGE_QKV = tuple(f"attn.to_{name}" for name in "qkv")
_TEXT_QKV = tuple(f"attn.add_{name}_proj" for name in "qkv")
_SINGLE_ROWS = (*_IMAGE_QKV, "proj_mlp")
_DOUBLE = (
    {
        "img_attn_qkv": Layers(_IMAGE_QKV),
        "txt_attn_qkv": Layers(_TEXT_QKV),
        "processor_qkv_lora1": Layers(_IMAGE_QKV),
        "processor_qkv_lora2": Layers(_TEXT_QKV),
    }
    | _one({f"img_attn_qkv_{index}": layer for index, layer in enumerate(_IMAGE_QKV)})  # OneTrainer
    | _one({f"txt_attn_qkv_{index}": layer for index, layer in enumerate(_TEXT_QKV)})
    | _one(
        {
            "img_attn_proj": "attn.to_out.0",
            "txt_attn_proj": "attn.to_add_out",
            "img_mlp_0": "ff.linear1",
            "img_mlp_2": "ff.linear2",
            "txt_mlp_0": "ff_context.linear1",
            "txt_mlp_2": "ff_context.linear2",
            "img_mod_lin": "norm1.linear",
            "txt_mod_lin": "norm1_context.linear",
            "processor_proj_lora1": "attn.to_out.0",
            "processor_proj_lora2": "attn.to_add_out",
        }
    )
)
_SINGLE_ORIGINAL = (
    {"linear1": Layers(_SINGLE_ROWS), "processor_qkv_lora": Layers(_IMAGE_QKV)}
    | _one({f"linear1_{index}": layer for index, layer in enumerate(_SINGLE_ROWS)})
    | _one({"linear2": "proj_out", "modulation_lin": "norm.linear", "processor_proj_lora": "proj_out"})
)
_IN_BLOCKS = {
    "transformer_blocks": _JOINT,
    "single_transformer_blocks": _SINGLE,
    "double_blocks": _DOUBLE,
    "single_blocks": _SINGLE_ORIGINAL,
}

_EMBEDDERS = {"time_in": "timestep", "vector_in": "text", "guidance_in": "guidance"}
_GLOBAL = _one(
    {name: name for name in ("x_embedder", "context_embedder", "proj_out")}
    | {"img_in": "x_embedder", "txt_in": "context_embedder", "final_layer_linear": "proj_out"}
    | {"norm_out_linear": "norm_out.linear"}
    | {
        spelling: f"time_text_embed.{embedder}_embedder.linear_{index}"
        for original, embedder in _EMBEDDERS.items()
        for index, layer in ((1, "in_layer"), (2, "out_layer"))
        for spelling in (f"{original}_{layer}", f"time_text_embed_{embedder}_embedder_linear_{index}")
    }
) | {"final_layer_adaLN_modulation_1": Layers(("norm_out.linear",), halves_swapped=True)}
