"""What files of LoRAs call the layers of FLUX's text encoders. Imports no model code.

kohya counts the encoders: CLIP is `te` or `te1`, T5 `te2`, or `te3` where there might be a second CLIP.
diffusers, ComfyUI and OneTrainer write the layers' own names behind the encoder's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from run_graph.runtime.models.architecture import name_in_memory
from run_graph.runtime.models.components import Component

# For each encoder: a file's names of it, and of its layers behind them.
_CLIP = re.compile(
    r"(?:base_model\.model\.)?(?:lora_te1?_|text_encoder\.|text_encoders\.clip_l\.transformer\.|clip_l\.)"
    r"(?:text_model[._])?(?:encoder[._]layers[._](?P<block>\d+)[._]"
    r"(?:(?P<part>self_attn|mlp)[._](?P<layer>[qkv]_proj|out_proj|fc[12])|(?P<norm>layer_norm[12]))"
    r"|(?P<last>final_layer_norm))"
)
_T5 = re.compile(
    r"(?:base_model\.model\.)?(?:lora_te[23]_|text_encoder_2\.|text_encoders\.(?:t5xxl\.)?transformer\.|t5(?:xxl)?\.)"
    r"encoder[._](?:block[._](?P<block>\d+)[._]layer[._](?P<index>[01])[._]"
    r"(?:(?P<part>SelfAttention|DenseReluDense)[._](?P<layer>[qkvo]|wi_[01]|wo)|(?P<norm>layer_norm))"
    r"|(?P<last>final_layer_norm))"
)


@lru_cache(maxsize=4096)
def find_text_layer(module: str) -> tuple[Component, str] | None:
    """The text encoder and the layer in memory that a file's name of a layer means, or None."""
    if match := _CLIP.fullmatch(module):
        place = "text_model" if match["last"] else f"text_model.encoder.layers.{match['block']}"
        return "text_encoder", f"{place}.{_name(match)}"
    if match := _T5.fullmatch(module):
        place = "encoder" if match["last"] else f"encoder.block.{match['block']}.layer.{match['index']}"
        layer = name_in_memory("text_encoder_2", f"{place}.{_name(match)}.")
        return None if layer is None else ("text_encoder_2", layer.removesuffix("."))
    return None


def text_encoder_of(key: str) -> Component | None:
    """The text encoder that a key is for, whatever of it; None if for none."""
    if re.match(r"lora_te1?_|text_encoder\.|text_encoders\.clip_l|clip_l\.", key):
        return "text_encoder"
    if re.match(r"lora_te[23]_|text_encoder_2\.|text_encoders\.(?:t5xxl\.)?transformer\.|t5(?:xxl)?\.", key):
        return "text_encoder_2"
    return None


def _name(match: re.Match[str]) -> str:
    """The layer's own name inside its block."""
    return match["last"] or match["norm"] or f"{match['part']}.{match['layer']}"
