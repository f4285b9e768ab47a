"""The operations that dominate a step on the CPU, computed by numpy: matrix products, attention, GELU.

MLX's CPU wheel for Linux ships the reference BLAS, which uses one core and barely its vector unit: 2 to 6
billion operations per second. numpy reads MLX's arrays in place and ships OpenBLAS, which is at least ten
times as fast, and a vectorised tanh. These functions compute at once, not lazily, and cannot be
differentiated or compiled. They change results only by rounding, and do nothing on a GPU.
"""

import math
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_map

Array = npt.NDArray[np.float32]

# Both sizes keep the working data in the processor's cache.
PIECE = 16384  # Numbers that an elementwise function processes at a time.
QUERIES = 256  # Rows of attention logits in memory at a time.


def on_cpu() -> bool:
    """Whether MLX computes on the CPU by default."""
    return mx.default_device().type == mx.DeviceType.cpu


class HostLinear(nn.Linear):
    """A linear layer that multiplies with numpy."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "HostLinear":
        """A layer with the same weights."""
        host = cls(1, 1, bias="bias" in layer)
        host.update(dict(layer))
        host.freeze()
        return host

    def __call__(self, x: mx.array) -> mx.array:
        if not _in_float32(x, self.weight):
            return super().__call__(x)
        rows = np.asarray(x).reshape(-1, x.shape[-1])
        product = rows @ np.asarray(self.weight).T
        if "bias" in self:
            product += np.asarray(self.bias)
        return mx.array(product.reshape(*x.shape[:-1], -1))


def product(a: mx.array, b: mx.array) -> mx.array:
    """a @ b, for any shapes that numpy's matmul accepts."""
    if not on_cpu() or not _in_float32(a, b):
        return a @ b
    return mx.array(np.asarray(a) @ np.asarray(b))


def use_numpy_linears(module: Any) -> None:
    """On the CPU, replace every Linear layer inside `module` by a `HostLinear`.

    The weights are the same arrays, not copies. Other kinds of layer (quantised, adapted) are left alone.
    """
    if not on_cpu():
        return
    leaves = tree_map(_numpy_linear, module.leaf_modules(), is_leaf=nn.Module.is_module)
    module.update_modules(leaves)


def _numpy_linear(layer: Any) -> Any:
    return HostLinear.of(layer) if type(layer) is nn.Linear else layer


def attention(
    q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | str | None
) -> mx.array | None:
    """Attention as `attention.attend` describes it, (B, heads, N, d); None if MLX should compute it.

    MLX computes it on a GPU, in precisions other than float32, and with a causal mask.
    """
    if not on_cpu() or isinstance(mask, str) or not _in_float32(q, k, v):
        return None
    queries, keys, values = np.asarray(q) * np.float32(scale), np.asarray(k), np.asarray(v)
    bias = None if mask is None else np.asarray(mask.astype(mx.float32))
    if bias is not None:
        bias = np.broadcast_to(bias, (*q.shape[:3], k.shape[2]))
    mixed = np.empty((*q.shape[:3], v.shape[-1]), np.float32)
    for head in np.ndindex(*q.shape[:2]):
        for start in range(0, q.shape[2], QUERIES):
            rows = (*head, slice(start, start + QUERIES))
            logits = queries[rows] @ keys[head].T
            if bias is not None:
                logits += bias[rows]
            mixed[rows] = _softmax_product(logits, values[head])
    return mx.array(mixed)


def _softmax_product(logits: Array, values: Array) -> Array:
    """softmax(logits) @ values; overwrites the logits."""
    logits -= logits.max(axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    product: Array = logits @ values
    product /= logits.sum(axis=-1, keepdims=True)
    return product


def gelu_tanh(x: mx.array) -> mx.array | None:
    """GELU's tanh approximation of x, of any shape; None if MLX should compute it."""
    if not on_cpu() or not _in_float32(x):
        return None
    values = np.asarray(x).reshape(-1)
    output = np.empty_like(values)
    for start in range(0, values.size, PIECE):
        piece, result = values[start : start + PIECE], output[start : start + PIECE]
        np.multiply(piece, piece, out=result)
        result *= np.float32(0.044715)
        result += np.float32(1)
        result *= piece
        result *= np.float32(math.sqrt(2 / math.pi))
        np.tanh(result, out=result)
        result += np.float32(1)
        result *= piece
        result *= np.float32(0.5)
    return mx.array(output.reshape(x.shape))


def convolve(layer: Any, x: mx.array) -> mx.array:
    """Apply a 3 x 3 convolution of stride 1 and padding 1 to x (B, H, W, C)."""
    if not on_cpu() or not _in_float32(x, layer.weight):
        convolved: mx.array = layer(x)
        return convolved
    batch, height, width, channels = x.shape
    padded = np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    # Unroll the kernel's three columns; its three rows are three products. Unrolling all nine positions would
    # take three times the memory and is not faster.
    columns = np.concatenate([padded[:, :, j : j + width] for j in range(3)], axis=-1)
    weight = np.ascontiguousarray(np.asarray(layer.weight).transpose(1, 2, 3, 0))
    weight = weight.reshape(3, 3 * channels, -1)
    output = np.broadcast_to(np.asarray(layer.bias), (batch * height * width, weight.shape[-1])).copy()
    for i in range(3):
        output += columns[:, i : i + height].reshape(-1, 3 * channels) @ weight[i]
    return mx.array(output.reshape(batch, height, width, -1))


def _in_float32(*arrays: mx.array) -> bool:
    return all(array.dtype == mx.float32 for array in arrays)
