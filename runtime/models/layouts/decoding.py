"""From stored numbers to floats: 8-bit floats, and weights stored with a scale.

Formats: OCP 8-bit Floating Point Specification, revision 1.0. E4M3 (torch's float8_e4m3fn) has no
infinities; E5M2 is the upper byte of IEEE's half precision.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.layouts.lazy import LazyTensor, Tensors
from run_graph.runtime.models.layouts.storage import EIGHT_BIT_FLOATS, FLOATS, INSTEAD, SCALES, is_auxiliary

if TYPE_CHECKING:
    import mlx.core as mx


def decoded(tensors: Tensors, place: str) -> Tensors:
    """The tensors as floats, without those that only say how others are stored.

    Packed weights of MLX stay as they are. A weight with a scale is float32, others keep their precision;
    8-bit floats become float16, which holds all of them exactly.

    Raises
    ------
    CheckpointError
        If a scale belongs to no weight, or does not fit it.
    """
    found = {name: _as_float(tensor) for name, tensor in tensors.items() if not is_auxiliary(name)}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind in SCALES:
            weight = f"{layer}.weight"
            if weight not in found:
                raise CheckpointError(
                    f"{place} has {name}, but no {weight}. The file is damaged or of an unknown format."
                )
            found[weight] = _scaled(found[weight], _as_float(tensor), name, place)
    return found


def float_of_bytes(array: mx.array, dtype: str) -> mx.array:
    """8-bit floats, given as uint8, as float16. `dtype` is safetensors' name of the format."""
    import mlx.core as mx

    if dtype == "F8_E4M3":
        return mx.from_fp8(array, dtype=mx.float16)
    return mx.left_shift(array.astype(mx.uint16), mx.array(8, mx.uint16)).view(mx.float16)


def _as_float(tensor: LazyTensor) -> LazyTensor:
    if tensor.dtype not in EIGHT_BIT_FLOATS:
        return tensor
    return tensor.derive(tensor.shape, partial(float_of_bytes, dtype=tensor.dtype), "F16")


def _scaled(weight: LazyTensor, scale: LazyTensor, name: str, place: str) -> LazyTensor:
    """A weight times one number, or times one number for each of its rows."""
    if scale.dtype not in FLOATS:
        raise CheckpointError(
            f"{place}: {name} is stored as {scale.dtype}, a scale that is not read. {INSTEAD}"
        )
    rows, one = weight.shape[:1], all(size == 1 for size in scale.shape)
    if not one and scale.shape not in {rows, (*rows, 1)}:
        raise CheckpointError(
            f"{place}: {name} has shape {scale.shape}, which is neither one number nor one for each row of a "
            f"weight of shape {weight.shape}. Scales of blocks are not read. {INSTEAD}"
        )
    shape = (1,) if one else (*rows, *[1] * (len(weight.shape) - 1))

    def multiply(array: mx.array) -> mx.array:
        import mlx.core as mx

        return array.astype(mx.float32) * scale.take().astype(mx.float32).reshape(shape)

    return weight.derive(weight.shape, multiply, "F32")
