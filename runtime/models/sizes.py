"""How much memory a component will take, computed from file headers before any weights are read."""

import math
from pathlib import Path

from run_graph.runtime.models.inspection import Tensor, saved_bits, tensors

_GROUP_SIZE = 64  # Weights that share one scale and one offset.
_FLOATS = {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"}


def estimated_bytes(component_folder: Path, quantize: int | None, float_bytes: int) -> int:
    """Bytes that the component's weights will occupy once loaded.

    A floating-point weight takes `float_bytes` (2 on a GPU, 4 on the CPU). Where quantisation applies
    (matrix rows of whole groups), it takes `quantize` bits, plus two floats per group.
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
