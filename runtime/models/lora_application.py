"""Apply the adapters of a LoRA file to layers.

With W the weight of a layer after all that was applied before, and s the strength:

- LoRA, LoHa, LoKr and differences make it W + s D, where D is alpha / rank times the product of the factors
  (arXiv 2106.09685, 2108.06098; LyCORIS: arXiv 2309.14859);
- DoRA makes it W + s (m (W + D) / |W + D| - W), with magnitudes m and norms of the rows, or of the columns
  (arXiv 2402.09353; at other strengths than 1, this way in between is ComfyUI's);
- a replaced weight V makes it W + s (V - W).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import mlx.core as mx
from mflux.models.common.lora.mapping.lokr_factors import rebuild_lokr_factors
from mflux.models.common.lora.mapping.peft_lora_metadata import PeftLoRAMetadata

from run_graph.runtime.models.lora_adapters import LOHA, Adapter
from run_graph.runtime.models.lora_fit import Rows
from run_graph.runtime.models.lora_names import ALPHA, BIAS_DIFF, DIFF, DORA, DOWN, REPLACED, UP, UP_BIAS
from run_graph.runtime.models.lora_updates import LinearUpdate, NormUpdate, Update
from run_graph.runtime.networks.adapted import Dense, Hadamard, Kronecker, LowRank, Term, rows_of

Matrices = Mapping[str, mx.array]
Configs = dict[str, dict[str, Any]]

_EPS = 1.1920929e-07  # float32's, so that a row of zeros has a norm to divide by


def apply(
    adapter: Adapter,
    tensors: Matrices,
    configs: Configs,
    scale: float,
    updates: Mapping[str, Update],
    rows: Rows,
) -> None:
    """Apply one adapter.

    Parameters
    ----------
    adapter
        It fits the layers; see :func:`runtime.models.lora_fit.check_fits`.
    tensors
        Those of the file, by its keys, lazy.
    configs
        PEFT's settings, by component.
    scale
        The strength.
    updates
        The layers, by their names.
    rows
        Of each layer in the matrices that the file fuses.
    """
    matrices = {name: tensors[key].astype(mx.float32) for name, key in adapter.matrices.items()}
    layers = {name: updates[name] for name in adapter.layers.names}
    if adapter.layers.is_norm:
        _apply_to_norm(cast(NormUpdate, layers[adapter.layers.names[0]]), matrices, scale)
        return
    linears = cast(dict[str, LinearUpdate], layers)
    strength = _strength(adapter, matrices, configs)
    _apply_biases(linears, rows, matrices, scale, strength)
    term = _term(adapter, matrices, strength, next(iter(linears.values())).dtype)
    if term is None:
        return
    if DORA in matrices:
        _apply_dora(linears, rows, term, matrices[DORA], scale)
        return
    for name, layer in linears.items():
        if REPLACED in matrices:
            layer.scale(1 - scale)
        layer.add(term.taken(rows[name]).scaled(scale))


def _apply_to_norm(norm: NormUpdate, matrices: Matrices, scale: float) -> None:
    if DIFF in matrices:
        norm.add(matrices[DIFF] * scale, 1.0)
    if REPLACED in matrices:
        norm.add(matrices[REPLACED] * scale, 1 - scale)
    if BIAS_DIFF in matrices:
        norm.add_bias(matrices[BIAS_DIFF] * scale)


def _apply_biases(
    layers: Mapping[str, LinearUpdate], rows: Rows, matrices: Matrices, scale: float, strength: float
) -> None:
    """A bias of PEFT's is the second matrix's, so alpha / rank counts; a difference is the layer's own."""
    for name, factor in ((UP_BIAS, scale * strength), (BIAS_DIFF, scale)):
        if name in matrices:
            for layer, update in layers.items():
                update.add_bias(rows_of(matrices[name], rows[layer]) * factor)


def _apply_dora(
    layers: Mapping[str, LinearUpdate], rows: Rows, term: Term, magnitudes: mx.array, scale: float
) -> None:
    parts = {name: term.taken(rows[name]) for name in layers}
    changed = {name: layers[name].weight() + part.matrix() for name, part in parts.items()}
    if magnitudes.ndim == 2 and magnitudes.shape[0] == 1:
        squares = [mx.sum(mx.square(weight), axis=0) for weight in changed.values()]
        factor = magnitudes[0] / (mx.sqrt(sum(squares[1:], squares[0])) + _EPS)
        mx.eval(factor)
        for name, layer in layers.items():
            layer.scale(columns=1 + scale * (factor - 1))
            layer.add(parts[name].scaled(columns=factor * scale))
        return
    for name, layer in layers.items():
        norms = mx.sqrt(mx.sum(mx.square(changed[name]), axis=1)) + _EPS
        factor = rows_of(magnitudes.reshape(-1), rows[name]) / norms
        mx.eval(factor)
        layer.scale(rows=1 + scale * (factor - 1))
        layer.add(parts[name].scaled(rows=factor * scale))


def _term(adapter: Adapter, matrices: Matrices, strength: float, dtype: mx.Dtype) -> Term | None:
    """What the file adds to the fused weight at strength 1, or puts in its place; None if nothing."""
    if DOWN in matrices:
        # In the layers' type at once, so that layers that the file fuses share it.
        return LowRank(matrices[UP] * strength, matrices[DOWN].astype(dtype))
    if LOHA[0] in matrices:
        first, *others = (matrices[name] for name in LOHA)
        return Hadamard(first * strength, *others)
    if "LoKr" in adapter.forms:
        first, second, _ = rebuild_lokr_factors(dict(matrices))
        return Kronecker(first * strength, second)
    whole = matrices.get(DIFF, matrices.get(REPLACED))
    return None if whole is None else Dense(whole)


def _strength(adapter: Adapter, matrices: Matrices, configs: Configs) -> float:
    """alpha / rank, where alpha is the layer's own or that of PEFT's settings; without either, 1."""
    if "LoKr" in adapter.forms:
        _, _, strength = rebuild_lokr_factors(dict(matrices))
        return float(strength)
    rank = next((matrices[name].shape[0] for name in (DOWN, LOHA[1]) if name in matrices), 0)
    if not rank:
        return 1.0
    if ALPHA in matrices:
        return float(cast(Any, matrices[ALPHA].item())) / rank
    alpha = PeftLoRAMetadata.alpha(f"{adapter.module}.lora_A.weight", configs, rank)
    return 1.0 if alpha is None else float(alpha) / rank
