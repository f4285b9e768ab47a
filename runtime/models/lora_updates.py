"""A layer of a network and what LoRAs have made of it so far."""

from __future__ import annotations

import copy
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from run_graph.runtime.networks.adapted import (
    AdaptedLinear,
    Dense,
    Factor,
    LowRank,
    Term,
    linear,
    whole_weight,
)


class LinearUpdate:
    """A linear layer, quantised or not, whose weight and bias are changed step by step, in float32."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._terms: list[Term] = []
        self._rows: mx.array | None = None
        self._columns: mx.array | None = None
        self._bias: mx.array | None = None

    @property
    def dtype(self) -> mx.Dtype:
        """The type of the layer's numbers."""
        numbers = self._layer.scales if isinstance(self._layer, nn.QuantizedLinear) else self._layer.weight
        return numbers.dtype

    def add(self, term: Term) -> None:
        """Add a matrix (outputs, inputs) to the weight."""
        self._terms.append(term)

    def add_bias(self, bias: mx.array) -> None:
        """Add a vector (outputs,) to the bias."""
        self._bias = bias if self._bias is None else self._bias + bias

    def scale(self, rows: Factor = 1.0, columns: Factor = 1.0) -> None:
        """Multiply the weight so far by factors on its rows and its columns; the bias stays."""
        self._rows = _times(self._rows, rows)
        self._columns = _times(self._columns, columns)
        self._terms = [term.scaled(rows, columns) for term in self._terms]

    def weight(self) -> mx.array:
        """The weight so far: (outputs, inputs), float32."""
        return whole_weight(self._layer, self._terms, self._rows, self._columns).astype(mx.float32)

    def made(self) -> Any:
        """The changed layer, whose arrays have the type of the layer's own, and which shares those.

        A difference is as large as the weight, so the two are one array then.
        """
        if any(isinstance(term, Dense) for term in self._terms):
            return self._merged()
        low = [term for term in self._terms if isinstance(term, LowRank)]
        terms = [term for term in self._terms if not isinstance(term, LowRank)]
        if low:
            terms.insert(0, LowRank.joined(low))
        adapted = AdaptedLinear(self._layer, terms, self._bias, self._rows, self._columns)
        other = self.dtype
        adapted.set_dtype(other, lambda dtype: dtype != other and bool(mx.issubdtype(dtype, mx.floating)))
        return adapted

    def _merged(self) -> Any:
        biases = [bias for bias in (self._layer.get("bias"), self._bias) if bias is not None]
        bias = sum(biases[1:], biases[0]).astype(self.dtype) if biases else None
        return linear(self.weight().astype(self.dtype), bias)


class NormUpdate:
    """A normalisation whose gain and offset are changed step by step, in float32."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._weight = layer.weight.astype(mx.float32)
        self._bias = layer.bias.astype(mx.float32) if "bias" in layer else None

    def add(self, gains: mx.array, weight: float) -> None:
        """Multiply the gains so far by `weight` and add others (channels,)."""
        self._weight = self._weight * weight + gains

    def add_bias(self, bias: mx.array) -> None:
        """Add a vector (channels,) to the offset, which there must be."""
        if self._bias is None:
            raise ValueError("this normalisation has no offset")
        self._bias = self._bias + bias

    def made(self) -> Any:
        """The changed normalisation."""
        made = copy.copy(self._layer)
        made.weight = self._weight.astype(self._layer.weight.dtype)
        if self._bias is not None:
            made.bias = self._bias.astype(self._layer.bias.dtype)
        return made


Update = LinearUpdate | NormUpdate


def _times(before: mx.array | None, factor: Factor) -> mx.array | None:
    """The product of two factors, where None and 1 are no factor; one number is a vector of length 1."""
    if not isinstance(factor, mx.array):
        if factor == 1:
            return before
        factor = mx.array([factor], mx.float32)
    return factor if before is None else before * factor
