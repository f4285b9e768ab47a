"""Linear layers whose weight is changed while they compute, without a second weight in memory.

A changed weight is rows * W * columns + the sum of some terms: W is the layer's own, quantised or not; rows
and columns are factors on its rows and columns; each term is a matrix that is stored in few numbers, such as
a product of two narrow matrices. Where a term has no quicker way, the changed weight is made for each product
and let go: for the thousands of tokens of a picture that costs little beside the product itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from run_graph.runtime.networks.cpu import NumpyLinear, on_cpu, project

Factor = mx.array | float
"""On the rows or the columns of a matrix: one number, or a vector with one for each."""


class Term(nn.Module):
    """A matrix (outputs, inputs) in the form in which it is stored."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def is_quick(self) -> bool:
        """Whether it multiplies with fewer operations than its matrix."""
        return False

    def __call__(self, x: mx.array) -> mx.array:
        """Multiply x (..., inputs): (..., outputs), in x's dtype."""
        return project(x, self.matrix().astype(x.dtype), None)

    def matrix(self) -> mx.array:
        """The whole matrix (outputs, inputs)."""
        raise NotImplementedError

    def scaled(self, rows: Factor = 1.0, columns: Factor = 1.0) -> Term:
        """The matrix with factors on its rows and its columns."""
        raise NotImplementedError

    def taken(self, rows: Sequence[slice]) -> Term:
        """The matrix of these rows, in this order. The slices have a start and a stop."""
        raise NotImplementedError


class LowRank(Term):
    """up @ down: (outputs, rank) and (rank, inputs)."""

    def __init__(self, up: mx.array, down: mx.array) -> None:
        super().__init__()
        self.up, self.down = up, down

    @property
    def is_quick(self) -> bool:
        return True

    def __call__(self, x: mx.array) -> mx.array:
        return project(project(x, self.down, None), self.up, None)

    def matrix(self) -> mx.array:
        return _product(self.up, self.down)

    def scaled(self, rows: Factor = 1.0, columns: Factor = 1.0) -> LowRank:
        return LowRank(_by_rows(self.up, rows), _by_columns(self.down, columns))

    def taken(self, rows: Sequence[slice]) -> LowRank:
        return LowRank(rows_of(self.up, rows), self.down)

    @staticmethod
    def joined(terms: Sequence[LowRank]) -> LowRank:
        """The sum of several as one, of the sum of their ranks."""
        if len(terms) == 1:
            return terms[0]
        up = mx.concatenate([term.up for term in terms], axis=1)
        return LowRank(up, mx.concatenate([term.down for term in terms], axis=0))


class Hadamard(Term):
    """The products of two low-rank matrices, multiplied number by number: (up @ down) * (up2 @ down2)."""

    def __init__(self, up: mx.array, down: mx.array, up2: mx.array, down2: mx.array) -> None:
        super().__init__()
        self.up, self.down, self.up2, self.down2 = up, down, up2, down2

    def matrix(self) -> mx.array:
        return _product(self.up, self.down) * _product(self.up2, self.down2)

    def scaled(self, rows: Factor = 1.0, columns: Factor = 1.0) -> Hadamard:
        return Hadamard(_by_rows(self.up, rows), _by_columns(self.down, columns), self.up2, self.down2)

    def taken(self, rows: Sequence[slice]) -> Hadamard:
        return Hadamard(rows_of(self.up, rows), self.down, rows_of(self.up2, rows), self.down2)


class Kronecker(Term):
    """The Kronecker product of (a, b) and (c, d): (a * c, b * d), or some of its rows, with factors."""

    def __init__(self, first: mx.array, second: mx.array) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.index: mx.array | None = None  # of the rows, if they do not consist of whole blocks of c
        self.rows: mx.array | None = None
        self.columns: mx.array | None = None

    @property
    def is_quick(self) -> bool:
        return self.index is None

    def __call__(self, x: mx.array) -> mx.array:
        if not self.is_quick:
            return super().__call__(x)
        x = x if self.columns is None else x * self.columns.astype(x.dtype)
        blocks = x.reshape(*x.shape[:-1], self.first.shape[1], self.second.shape[1])
        inner = project(blocks, self.second, None).swapaxes(-1, -2)
        product = project(inner, self.first, None).swapaxes(-1, -2).reshape(*x.shape[:-1], -1)
        return product if self.rows is None else product * self.rows.astype(x.dtype)

    def matrix(self) -> mx.array:
        product = mx.kron(self.first, self.second)
        product = product if self.index is None else product[self.index]
        return _by_columns(_by_rows(product, _or_1(self.rows)), _or_1(self.columns))

    def scaled(self, rows: Factor = 1.0, columns: Factor = 1.0) -> Kronecker:
        if not (isinstance(rows, mx.array) or isinstance(columns, mx.array)):
            return self._with(first=self.first * (rows * columns))
        heights = self.first.shape[0] * self.second.shape[0] if self.index is None else len(self.index)
        widths = self.first.shape[1] * self.second.shape[1]
        return self._with(
            rows=mx.ones(heights) * _or_1(self.rows) * rows,
            columns=mx.ones(widths) * _or_1(self.columns) * columns,
        )

    def taken(self, rows: Sequence[slice]) -> Kronecker:
        height = self.second.shape[0]
        factors = None if self.rows is None else rows_of(self.rows, rows)
        if self.index is None and all(each.start % height == each.stop % height == 0 for each in rows):
            blocks = [slice(each.start // height, each.stop // height) for each in rows]
            return self._with(first=rows_of(self.first, blocks), rows=factors)
        total = self.first.shape[0] * height
        index = mx.arange(total) if self.index is None else self.index
        return self._with(index=rows_of(index, rows), rows=factors)

    def _with(self, **changes: Any) -> Kronecker:
        term = copy.copy(self)
        for name, value in changes.items():
            setattr(term, name, value)
        return term


class Dense(Term):
    """A matrix as it is."""

    def __init__(self, weight: mx.array) -> None:
        super().__init__()
        self.weight = weight

    def matrix(self) -> mx.array:
        return self.weight

    def scaled(self, rows: Factor = 1.0, columns: Factor = 1.0) -> Dense:
        return Dense(_by_columns(_by_rows(self.weight, rows), columns))

    def taken(self, rows: Sequence[slice]) -> Dense:
        return Dense(rows_of(self.weight, rows))


class AdaptedLinear(nn.Module):
    """A linear layer with a changed weight, and with a changed bias if one is given.

    Parameters
    ----------
    layer
        The layer, quantised or not; it is shared, not copied.
    terms
        What is added to its weight.
    bias
        (outputs,); added to the output after the layer's own bias. None: nothing is.
    rows, columns
        Factors on the layer's weight, not on its bias: (outputs,) and (inputs,), or (1,) for one on all.
        None: 1.
    """

    def __init__(
        self,
        layer: Any,
        terms: Iterable[Term],
        bias: mx.array | None = None,
        rows: mx.array | None = None,
        columns: mx.array | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if rows is not None and "bias" in layer:
            bias = layer.bias if bias is None else layer.bias + bias
            layer = copy.copy(layer)
            del layer.bias
        self.layer, self.terms = layer, list(terms)
        self.bias, self.rows, self.columns = bias, rows, columns

    def __call__(self, x: mx.array) -> mx.array:
        """x (..., inputs) -> (..., outputs), in x's dtype."""
        if not all(term.is_quick for term in self.terms):
            weight = whole_weight(self.layer, self.terms, self.rows, self.columns).astype(x.dtype)
            y: mx.array = project(x, weight, self.layer.get("bias"))
            return y if self.bias is None else y + self.bias
        y = self.layer(x if self.columns is None else x * self.columns)
        y = y if self.rows is None else y * self.rows
        for term in self.terms:
            y = y + term(x)
        return y if self.bias is None else y + self.bias


def whole_weight(
    layer: Any, terms: Iterable[Term], rows: mx.array | None = None, columns: mx.array | None = None
) -> mx.array:
    """The changed weight (outputs, inputs) of a linear layer, dequantised; see `AdaptedLinear`."""
    weight: mx.array = layer.weight
    if isinstance(layer, nn.QuantizedLinear):
        weight = mx.dequantize(layer.weight, layer.scales, layer.biases, layer.group_size, layer.bits)
    weight = weight if rows is None else weight * rows.reshape(-1, 1)
    weight = weight if columns is None else weight * columns
    for term in terms:
        weight = weight + term.matrix()
    return weight


def linear(weight: mx.array, bias: mx.array | None) -> nn.Linear:
    """A linear layer with this weight (outputs, inputs) and bias (outputs,)."""
    layer = nn.Linear(1, 1, bias=bias is not None)
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return NumpyLinear.of(layer) if on_cpu() else layer


def rows_of(matrix: mx.array, rows: Sequence[slice]) -> mx.array:
    """These rows of a matrix, or numbers of a vector, in this order."""
    if len(rows) == 1:
        return matrix[rows[0]]
    return mx.concatenate([matrix[each] for each in rows])


def _product(up: mx.array, down: mx.array) -> mx.array:
    """up @ down, with numpy where :mod:`runtime.networks.cpu` does."""
    return project(up, down.T, None) if up.dtype == down.dtype else up @ down


def _by_rows(matrix: mx.array, factor: Factor) -> mx.array:
    if isinstance(factor, mx.array):
        return matrix * factor[:, None]
    return matrix if factor == 1 else matrix * factor


def _by_columns(matrix: mx.array, factor: Factor) -> mx.array:
    return matrix if not isinstance(factor, mx.array) and factor == 1 else matrix * factor


def _or_1(factor: mx.array | None) -> Factor:
    return 1.0 if factor is None else factor
