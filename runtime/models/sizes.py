"""How much memory a component will take, told from file headers before anything is read."""

import math
from pathlib import Path

from run_graph.runtime.models.inspection import Tensor, saved_bits, tensors

_GROUP_SIZE = 64  # Weights that share one scale and one offset.
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


def estimated_bytes(component_folder: Path, quantize: int | None, float_bytes: int) -> int:
    """Bytes that the component's weights occupy once loaded.

    Floating-point weights are held in `float_bytes` each (2 on a GPU, 4 on the CPU). Quantised, a
    matrix row of whole groups takes `quantize` bits a weight and two floats a group.
    """
    stored = saved_bits(component_folder) is not None
    bits = None if stored else quantize
    return sum(_tensor_bytes(tensor, bits, float_bytes) for tensor in tensors(component_folder).values())


def _tensor_bytes(tensor: Tensor, bits: int | None, float_bytes: int) -> int:
    if tensor.dtype not in _FLOATS:
        return tensor.nbytes
    count = math.prod(tensor.shape)
    if bits is not None and len(tensor.shape) == 2 and tensor.shape[1] % _GROUP_SIZE == 0:
        return count * bits // 8 + 2 * float_bytes * (count // _GROUP_SIZE)
    return count * float_bytes
