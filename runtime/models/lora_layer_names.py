"""What files of LoRAs call the layers of FLUX.1. Imports no model code.

A layer of the transformer has diffusers' name or that of the original FLUX code, which fuses projections;
dots may be underscores, and there may be a prefix. `lora_text_names` knows the layers of the text encoders.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from run_graph.runtime.models.components import Component
from run_graph.runtime.models.lora_text_names import find_text_layer


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
    is_norm
        Whether it is a normalisation, with a gain for each channel, instead of a linear layer.
    """

    names: tuple[str, ...]
    halves_swapped: bool = False
    component: Component = "transformer"
    is_norm: bool = False


def block_number(module: str) -> tuple[str, int] | None:
    """The kind (`double_blocks`, ...) and the number of the transformer's block that a file's layer is in."""
    block = _BLOCK.match(_without_prefix(module))
    return None if block is None else (block["family"], int(block["number"]))


@lru_cache(maxsize=4096)
def find_layers(module: str) -> Layers | None:
    """The layers that a file's name of a layer means, or None."""
    if (found_text := find_text_layer(module)) is not None:
        component, layer = found_text
        return Layers((layer,), component=component, is_norm=layer.endswith(("layer_norm", "norm1", "norm2")))
    name = _without_prefix(module)
    if (block := _BLOCK.match(name)) is None:
        return _GLOBAL.get(name.replace(".", "_"))
    family, number = block["family"], int(block["number"])
    found = _IN_BLOCKS[family].get(name[block.end() :].replace(".", "_"))
    if found is None:
        return None
    owner = "single_transformer_blocks" if family.startswith("single") else "transformer_blocks"
    return replace(found, names=tuple(f"{owner}.{number}.{layer}" for layer in found.names))


def _without_prefix(name: str) -> str:
    while match := _PREFIX.match(name):
        name = name[match.end() :]
    return name


_PREFIX = re.compile(
    r"base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|transformer\.|"
    r"lora_unet_|lora_transformer_|lycoris__?"
)
_BLOCK = re.compile(
    r"(?P<family>transformer_blocks|single_transformer_blocks|double_blocks|single_blocks)"
    r"[._](?P<number>\d+)[._]"
)


def _one(names: dict[str, str]) -> dict[str, Layers]:
    return {spelling: Layers((layer,)) for spelling, layer in names.items()}


def _norms(names: dict[str, str]) -> dict[str, Layers]:
    return {spelling: Layers((layer,), is_norm=True) for spelling, layer in names.items()}


def _original_norms(prefix: str, names: tuple[str, ...]) -> dict[str, Layers]:
    """Of queries and keys, in the original code's names; older files end in `.scale`."""
    norms = zip(("query_norm", "key_norm"), names, strict=True)
    return _norms(
        {f"{prefix}norm_{norm}{end}": f"attn.{name}" for norm, name in norms for end in ("", "_scale")}
    )


_IMAGE_NORMS, _TEXT_NORMS = ("norm_q", "norm_k"), ("norm_added_q", "norm_added_k")
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
) | _norms({f"attn_{name}": f"attn.{name}" for name in (*_IMAGE_NORMS, *_TEXT_NORMS)})
_SINGLE = _one(
    {f"attn_to_{name}": f"attn.to_{name}" for name in "qkv"}
    | {"proj_mlp": "proj_mlp", "proj_out": "proj_out", "norm_linear": "norm.linear"}
) | _norms({f"attn_{name}": f"attn.{name}" for name in _IMAGE_NORMS})

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
    | _original_norms("img_attn_", _IMAGE_NORMS)
    | _original_norms("txt_attn_", _TEXT_NORMS)
)
_SINGLE_ORIGINAL = (
    {"linear1": Layers(_SINGLE_ROWS)}
    | dict.fromkeys(("processor_qkv_lora", "linear1_qkv"), Layers(_IMAGE_QKV))
    | _one({f"linear1_{index}": layer for index, layer in enumerate(_SINGLE_ROWS)})
    | _one({"linear2": "proj_out", "modulation_lin": "norm.linear", "processor_proj_lora": "proj_out"})
    | _original_norms("", _IMAGE_NORMS)
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
    | {"img_in_proj": "x_embedder"}  # OneTrainer
    | {"norm_out_linear": "norm_out.linear"}
    | {
        spelling: f"time_text_embed.{embedder}_embedder.linear_{index}"
        for original, embedder in _EMBEDDERS.items()
        for index, layer in ((1, "in_layer"), (2, "out_layer"))
        for spelling in (f"{original}_{layer}", f"time_text_embed_{embedder}_embedder_linear_{index}")
    }
) | {"final_layer_adaLN_modulation_1": Layers(("norm_out.linear",), halves_swapped=True)}
