"""What a LoRA file holds for one layer, and whether it is complete. Imports no model code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.inspection import Tensor
from run_graph.runtime.models.lora_layer_names import Layers
from run_graph.runtime.models.lora_names import BIAS_DIFF, DIFF, DORA, DOWN, REPLACED, UP, UP_BIAS

Form = Literal["LoRA", "LoHa", "LoKr", "difference", "replaced weight", "bias"]

LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
_OF_CONVOLUTIONS = ("hada_t1", "hada_t2", "lokr_t2")
# The matrices of each form; a bias can come with any of them.
_OF_FORM: dict[Form, tuple[str, ...]] = {
    "LoRA": (DOWN, UP, UP_BIAS),
    "LoHa": LOHA,
    "LoKr": LOKR,
    "difference": (DIFF,),
    "replaced weight": (REPLACED,),
}
_FACTORED = ("LoRA", "LoHa", "LoKr")


@dataclass
class Adapter:
    """The matrices for one layer, or for layers that the file fuses.

    Attributes
    ----------
    module : str
        The file's name of the layer.
    layers : Layers
        What it means.
    matrices : dict
        The keys of the file by the matrices' names.
    """

    module: str
    layers: Layers
    matrices: dict[str, str] = field(default_factory=dict)

    @property
    def forms(self) -> list[Form]:
        """How it changes the weight: one form, if the file is not damaged."""
        found = [form for form, names in _OF_FORM.items() if self.matrices.keys() & set(names)]
        return found or ["bias"]


def check_adapter(adapter: Adapter, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise LoraError unless the adapter has one form and all of its matrices, and their ranks agree."""
    matrices, forms = adapter.matrices, adapter.forms
    if len(forms) > 1:
        raise LoraError(
            f"{path}: {_keys(matrices)} are a {' and a '.join(forms)} for one layer. The file is damaged."
        )
    if tucker := [matrices[name] for name in _OF_CONVOLUTIONS if name in matrices]:
        raise LoraError(
            f"{path}: {', '.join(tucker)} is for a convolution, but {adapter.module} is a linear layer. "
            "The file is damaged, or for another model."
        )
    (form,) = forms
    needed: dict[Form, tuple[str, ...]] = {"LoRA": (DOWN, UP), "LoHa": LOHA, "bias": (BIAS_DIFF,)}
    if DORA in matrices and form not in _FACTORED:
        needed[form] = (DOWN, UP)
    for name in needed.get(form, ()):
        if name not in matrices:
            raise LoraError(f"{path}: {_keys(matrices)} has no counterpart: no {name}. The file is damaged.")
    if form == "LoRA":
        _check_rank(matrices[DOWN], matrices[UP], tensors, path)
    elif form == "LoHa":
        _check_rank(matrices["hada_w1_b"], matrices["hada_w1_a"], tensors, path)
        _check_rank(matrices["hada_w2_b"], matrices["hada_w2_a"], tensors, path)
    elif form == "LoKr":
        for name in ("lokr_w1", "lokr_w2"):
            factor_shape(matrices, name, tensors, path)


def factor_shape(
    matrices: Mapping[str, str], name: str, tensors: Mapping[str, Tensor], path: Path
) -> tuple[int, int]:
    """The shape of a Kronecker factor, which may be stored as the product of two matrices.

    Raises
    ------
    LoraError
        If it is not there, or no matrix.
    """
    if name in matrices:
        shape = tensors[matrices[name]].shape
        if len(shape) == 2:
            return shape[0], shape[1]
        raise LoraError(
            f"{path}: {matrices[name]} has shape {shape}, not two dimensions. The file is damaged."
        )
    ends = (f"{name}_a", f"{name}_b")
    if not matrices.keys() >= set(ends):
        raise LoraError(f"{path}: {_keys(matrices)} lacks a factor: no {name}. The file is damaged.")
    left, right = (matrices[end] for end in ends)
    _check_rank(right, left, tensors, path)
    return tensors[left].shape[0], tensors[right].shape[1]


def _check_rank(down: str, up: str, tensors: Mapping[str, Tensor], path: Path) -> None:
    of_down, of_up = tensors[down].shape, tensors[up].shape
    if len(of_down) != 2 or len(of_up) != 2 or of_down[0] != of_up[1]:
        raise LoraError(
            f"{path}: {down} {of_down} and {up} {of_up} differ in rank; the first "
            "must have as many rows as the second has columns. The file is damaged."
        )


def _keys(matrices: Mapping[str, str]) -> str:
    return ", ".join(sorted(matrices.values()))
