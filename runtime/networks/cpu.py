"""The slow operations of a step on the CPU, computed with numpy: matrix products, attention, activations.

MLX's CPU wheel for Linux comes with the reference BLAS, which uses one core and hardly its vector unit: 2 to
6 billion operations a second. numpy, which reads and writes MLX's arrays in place, comes with OpenBLAS, more
than ten times as fast, and with vectorised exp and tanh. These functions compute eagerly, not lazily, and
cannot be differentiated or compiled. They change results only by rounding. On a GPU they have no effect.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_map

from run_graph.runtime.networks.threads import WORTH_SHARING, in_parts

Array = npt.NDArray[np.float32]

PIECE = 16384  # Numbers that an elementwise function processes at once, for the same reason as below.
QUERIES = 256  # Rows of attention logits computed at once, few enough for the processor's cache.
HANDED_OVER = 2**20  # Numbers from which filling an array is worth handing it to MLX's thread.
WIDE = (
    1024  # Columns in a part of a product: each part packs the other factor again, a few percent of its time.
)


def on_cpu() -> bool:
    """Whether MLX computes on the CPU by default."""
    return mx.default_device().type == mx.DeviceType.cpu


def uses_numpy(*arrays: mx.array) -> bool:
    """Whether numpy computes with these arrays: on the CPU, in float32."""
    return on_cpu() and all(array.dtype == mx.float32 for array in arrays)


def new_array(*shape: int) -> tuple[mx.array, Array]:
    """A new float32 array of MLX, and its memory as numpy's: fill it before the array is used."""
    if math.prod(shape) < HANDED_OVER:
        array = mx.array(np.empty(shape, np.float32))
    else:
        array = mx.zeros(shape)
        mx.eval(array)
    return array, np.asarray(array)


def multiply(a: Array, b: Array, out: Array) -> None:
    """Write a (M, K) @ b (K, N) into out (M, N); large products in parts of columns, on several threads."""
    columns = out.shape[1]
    operations = 2 * a.size * columns
    parts = _parts(columns) if operations >= WORTH_SHARING else 1
    edges = [columns * part // parts for part in range(parts + 1)]

    def compute(part: int) -> None:
        span = slice(edges[part], edges[part + 1])
        np.matmul(a, b[:, span], out=out[:, span])

    in_parts(compute, range(parts), operations)


def _parts(columns: int) -> int:
    """A power of two, at least 2, so that two or more threads finish together."""
    return 1 << max(columns // WIDE, 2).bit_length() - 1


class NumpyLinear(nn.Linear):
    """A linear layer that multiplies with numpy."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "NumpyLinear":
        """A layer with the same weights."""
        linear = cls(1, 1, bias="bias" in layer)
        linear.update(dict(layer))
        linear.freeze()
        return linear

    def __call__(self, x: mx.array) -> mx.array:
        return project(x, self.weight, self.get("bias"))


def project(x: mx.array, weight: mx.array, bias: mx.array | None) -> mx.array:
    """A linear layer, x @ weight.T + bias: x (..., K), weight (N, K), bias (N,) -> (..., N)."""
    if not uses_numpy(x, weight):
        return x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)
    projected, output = new_array(*x.shape[:-1], len(weight))
    rows = output.reshape(-1, len(weight))
    multiply(np.asarray(x).reshape(-1, x.shape[-1]), np.asarray(weight).T, rows)
    if bias is not None:
        rows += np.asarray(bias)
    return projected


def use_numpy_linears(module: Any) -> None:
    """On the CPU, replace every Linear layer inside `module` with a `NumpyLinear`.

    The arrays of weights stay the same; layers of other kinds (quantised, adapted) are not replaced.
    """
    if not on_cpu():
        return
    leaves = tree_map(_numpy_linear, module.leaf_modules(), is_leaf=nn.Module.is_module)
    module.update_modules(leaves)


def _numpy_linear(layer: Any) -> Any:
    return NumpyLinear.of(layer) if type(layer) is nn.Linear else layer


def attention(
    q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | str | None
) -> mx.array | None:
    """Attention as in `attention.attend`, (B, N, heads * d); None if MLX should compute it.

    MLX computes it on a GPU, in precisions other than float32, and with a causal mask.
    """
    if isinstance(mask, str) or not uses_numpy(q, k, v):
        return None
    queries, keys, values = np.asarray(q) * np.float32(scale), np.asarray(k), np.asarray(v)
    bias = None if mask is None else np.asarray(mask.astype(mx.float32))
    if bias is not None:
        bias = np.broadcast_to(bias, (*q.shape[:3], k.shape[2]))
    batch, heads, length, width = *q.shape[:3], v.shape[-1]
    mixed, output = new_array(batch, length, heads, width)

    def compute(place: tuple[int, int, int]) -> None:
        index, head, start = place
        rows = slice(start, start + QUERIES)
        logits = queries[index, head, rows] @ keys[index, head].T
        if bias is not None:
            logits += bias[index, head, rows]
        _softmax_product(logits, values[index, head], output[index, rows, head])

    places = product(range(batch), range(heads), range(0, length, QUERIES))
    in_parts(compute, places, operations=4 * q.size * k.shape[2])
    return mixed.reshape(batch, length, heads * width)


def _softmax_product(logits: Array, values: Array, out: Array) -> None:
    """Write softmax(logits) @ values; overwrites the logits."""
    logits -= logits.max(axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    np.matmul(logits, values, out=out)
    out /= logits.sum(axis=-1, keepdims=True)


def rotate(x: mx.array, cos: mx.array, sin: mx.array) -> mx.array | None:
    """Rotation as in `rope.rotate`; None if MLX should compute it."""
    if not uses_numpy(x, cos, sin):
        return None
    turn = np.empty(cos.shape, np.complex64)
    turn.real, turn.imag = np.asarray(cos), np.asarray(sin)
    rotated, output = new_array(*x.shape)
    np.multiply(np.ascontiguousarray(x).view(np.complex64), turn, out=output.view(np.complex64))
    return rotated


def gelu_tanh(x: mx.array) -> mx.array | None:
    """GELU's tanh approximation of x, of any shape; None if MLX should compute it."""
    return _piecewise(_gelu_tanh, x)


def swish(x: mx.array, slope: float) -> mx.array | None:
    """x * sigmoid(slope * x), of any shape; None if MLX should compute it."""
    return _piecewise(lambda piece, result: write_swish(piece, slope, result), x)


def _piecewise(write: Callable[[Array, Array], None], x: mx.array) -> mx.array | None:
    if not uses_numpy(x):
        return None
    values = np.asarray(x).reshape(-1)
    computed, output = new_array(values.size)
    for start in range(0, values.size, PIECE):
        write(values[start : start + PIECE], output[start : start + PIECE])
    return computed.reshape(x.shape)


def _gelu_tanh(x: Array, out: Array) -> None:
    """0.5 (1 + tanh(u)) = sigmoid(2 u), and numpy computes exp faster than tanh."""
    slope = -2 * math.sqrt(2 / math.pi)
    with np.errstate(over="ignore"):
        np.multiply(x, x, out=out)
        out *= np.float32(0.044715 * slope)
        out += np.float32(slope)
        out *= x
        _divide_by_one_plus_exp(x, out)


def write_swish(x: Array, slope: float, out: Array) -> None:
    """Write x * sigmoid(slope * x) into `out`, another array of x's shape."""
    with np.errstate(over="ignore"):
        np.multiply(x, np.float32(-slope), out=out)
        _divide_by_one_plus_exp(x, out)


def _divide_by_one_plus_exp(x: Array, out: Array) -> None:
    """Write x / (1 + exp(out)) into `out`."""
    np.exp(out, out=out)  # Infinite for very negative x, and the quotient is rightly 0.
    out += np.float32(1)
    np.divide(x, out, out=out)
