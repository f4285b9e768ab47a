"""Which layer and which matrix a key of a LoRA file means. Imports no model code.

A key is the name of a layer (`lora_layer_names`) and that of a matrix. `parse_key` reads the files of
diffusers, PEFT, kohya, ComfyUI, ai-toolkit, OneTrainer, SimpleTuner, LyCORIS and XLabs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from run_graph.runtime.models.components import Component
from run_graph.runtime.models.lora_layer_names import Layers, block_number, find_layers

DOWN, UP, UP_BIAS, ALPHA, DORA = "lora_A", "lora_B", "lora_B.bias", "alpha", "dora_scale"
DIFF, BIAS_DIFF, REPLACED = "diff", "diff_b", "set_weight"

Kind = Literal["matrix", "unsupported", "unknown"]


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
        `lora_A`, `lora_B`, `lora_B.bias`, `alpha`, `dora_scale`, `diff`, `diff_b`, `set_weight`, `lokr_w1`,
        `hada_w1_a`, ...; for unsupported keys, what they make of the file.
    component
        What it changes, if it is not unknown.
    """

    kind: Kind
    module: str = ""
    layers: Layers | None = None
    matrix: str = ""
    component: Component = "transformer"


@lru_cache(maxsize=8192)
def parse_key(key: str) -> ParsedKey:
    """What a key means."""
    for pattern, matrix in _MATRICES:
        if match := pattern.search(key):
            module, found = key[: match.start()], matrix or match[1]
            layers = find_layers(module)
            if layers is not None and _fits(found, layers):
                return ParsedKey("matrix", module, layers, found.removeprefix(_ITS), layers.component)
    parts = key.split(".")
    for end in range(len(parts) - 1, 0, -1):
        if (layers := find_layers(".".join(parts[:end]))) is not None:
            form = _form(".".join(parts[end:]))
            return ParsedKey("unsupported", matrix=form, component=layers.component)
    if block_number(key) is not None:
        return ParsedKey("unsupported", matrix=_form(key))
    return ParsedKey("unknown")


def _fits(matrix: str, layers: Layers) -> bool:
    """Whether a matrix can be one of such layers: a normalisation has no matrices, only numbers."""
    return matrix in _OF_NORMS if layers.is_norm else not matrix.startswith(_ITS)


def _form(suffix: str) -> str:
    """What an unsupported tensor makes the file, in the words of a message."""
    forms = (words for pattern, words in _FORMS.items() if re.search(pattern, suffix))
    return next(forms, "has other tensors")


_ITS = "its "  # before what only normalisations may have: their own weight, in place of the model's
_OF_NORMS = (DIFF, BIAS_DIFF, REPLACED, _ITS + REPLACED)

# How keys end, and the matrix that this means; "" is what the group matched. PEFT inserts the adapter's name.
_NAME = r"(?:\.(?!weight$|bias$)[\w-]+)?"
_ADAPTER = rf"{_NAME}(?:\.weight)?$"
_MATRICES = tuple(
    (re.compile(pattern), matrix)
    for pattern, matrix in (
        (rf"\.(?:lora_A|lora_down|lora\.down|lora_linear_layer\.down){_ADAPTER}", DOWN),
        (rf"\.(?:lora_B|lora_up|lora\.up|lora_linear_layer\.up){_ADAPTER}", UP),
        (rf"\.(?:lora_B|lora_up){_NAME}\.bias$", UP_BIAS),
        (r"_lora\.down\.weight$", DOWN),  # diffusers' first
        (r"_lora\.up\.weight$", UP),
        (r"(?<=lora)\.down\.weight$|(?<=lora[12])\.down\.weight$", DOWN),  # XLabs
        (r"(?<=lora)\.up\.weight$|(?<=lora[12])\.up\.weight$", UP),
        (r"\.alpha$", ALPHA),
        (rf"\.(?:dora_scale$|lora_magnitude_vector{_ADAPTER})", DORA),
        (r"\.(lokr_w[12](?:_[ab])?|lokr_t2|hada_w[12]_[ab]|hada_t[12])$", ""),
        (r"\.(?:diff|w_norm)$", DIFF),
        (r"\.(?:diff_b|b_norm)$", BIAS_DIFF),
        (r"\.set_weight$", REPLACED),
        (r"\.(?:weight|scale)$", _ITS + REPLACED),
    )
)

_FORMS = {
    r"\bb?oft_": "is an OFT",
    r"^[ab][12]\.": "is a GLoRA",
    r"lora_mid": "is made for convolutions",
    r"reshape_weight$": "widens layers, as a LoRA for control pictures does",
    r"bias$": "replaces biases",
    r"norm": "has other tensors of normalisations",
    r"^weight$": "holds whole weights",
}
