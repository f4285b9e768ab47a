"""What files of LoRAs call the layers of FLUX's text encoders. Imports no model code.

kohya counts the encoders: CLIP is `te` or `te1`, T5 `te2`, or `te3` where there might be a second CLIP.
diffusers and ComfyUI write the layers' own names behind the encoder's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from run_graph.runtime.models.architecture import name_in_memory
from run_graph.runtime.models.components import Component

# For each encoder: a file's names of its layers, and the published name that they mean.
_ENCODERS: tuple[tuple[Component, re.Pattern[str], str], ...] = (
    (
        "text_encoder",
        re.compile(
            r"(?:base_model\.model\.)?(?:lora_te1?_|text_encoder\.|text_encoders\.clip_l\.transformer\.)"
            r"text_model[._]encoder[._]layers[._](\d+)[._](self_attn|mlp)[._]([qkv]_proj|out_proj|fc[12])"
        ),
        "text_model.encoder.layers.{}.{}.{}",
    ),
    (
        "text_encoder_2",
        re.compile(
            r"(?:base_model\.model\.)?(?:lora_te[23]_|text_encoder_2\.|text_encoders\.t5xxl\.transformer\.)"
            r"encoder[._]block[._](\d+)[._]layer[._]([01])[._](SelfAttention|DenseReluDense)[._]"
            r"([qkvo]|wi_[01]|wo)"
        ),
        "encoder.block.{}.layer.{}.{}.{}",
    ),
)


@lru_cache(maxsize=4096)
def find_text_layer(module: str) -> tuple[Component, str] | None:
    """The text encoder and the layer in memory that a file's name of a layer means, or None."""
    for component, pattern, published in _ENCODERS:
        if match := pattern.fullmatch(module):
            layer = name_in_memory(component, published.format(*match.groups()))
            return None if layer is None else (component, layer)
    return None
