"""How steps, values and events travel between machines.

A :class:`Parcel` is a pickle in which the values of links are our own serialised parts
(:mod:`runtime.cache.serialization`): plain data, and arrays as buffers beside the pickle, which dask sends
without copying them. MLX arrays become arrays on the host and MLX arrays again, the same to the bit. Classes
that another machine could not import, such as those of a script or of ``--nodes FILE.py``, travel as code.

A parcel is packed and unpacked where its values are used. On the way, in dask's own threads, it is bytes.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
from distributed.protocol.serialize import dask_deserialize, dask_serialize

from run_graph.graph.node_files import is_node_file
from run_graph.runtime.array_value import ArrayValue, array_library
from run_graph.runtime.cache.serialization import (
    HostArray,
    NotSerializable,
    Serialized,
    deserialize,
    deserialize_items,
    serialize,
    serialize_items,
)
from run_graph.runtime.errors import NodeFailed

_ARRAY = "array"

# dask has tblib pickle all exceptions with their causes, also with one that cannot be pickled. This class
# knows how to do without.
copyreg.dispatch_table.pop(NodeFailed, None)


@dataclass(frozen=True)
class Parcel:
    """Something packed: a pickle, and the buffers that it refers to, in order."""

    head: bytes
    buffers: Sequence[Any]

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return len(self.head) + sum(memoryview(buffer).nbytes for buffer in self.buffers)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # As an argument of a task, and in another parcel, it is pickled; buffers then stay beside the pickle.
        beside = pickle.PickleBuffer if protocol >= 5 else bytes
        return Parcel, (self.head, [beside(buffer) for buffer in self.buffers])


def pack(content: Any) -> Parcel:
    """Pack an object. MLX arrays in it must have been evaluated, or belong to this thread.

    Raises
    ------
    pickle.PicklingError, TypeError, AttributeError
        If it holds something that cannot travel.
    """
    for name, module in list(sys.modules.items()):
        if is_node_file(name):
            cloudpickle.register_pickle_by_value(module)
    file, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(content)
    return Parcel(file.getvalue(), [buffer.raw() for buffer in buffers])


def unpack(parcel: Parcel) -> Any:
    """What was packed. Raises whatever its classes raise, such as ImportError if one is not installed."""
    return pickle.loads(parcel.head, buffers=parcel.buffers)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # has no types
    """Pickles values and MLX arrays as our serialised parts, everything else as cloudpickle does."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, ArrayValue):
            try:
                serialized = serialize(value)
            except NotSerializable:  # another package's value: as pickle sees it
                return super().reducer_override(value)
            return _value_of, (type(value), serialized.kind, serialized.plain, _labelled(serialized))
        if not isinstance(value, type) and array_library(value) == "mlx":
            serialized = serialize_items({_ARRAY: value})
            return _array_of, (serialized.plain, _labelled(serialized))
        return super().reducer_override(value)


def _labelled(serialized: Serialized) -> dict[str, tuple[str, str, Any]]:
    return {name: (each.library, each.dtype, each.values) for name, each in serialized.arrays.items()}


def _serialized(kind: str | None, plain: Any, arrays: dict[str, tuple[str, str, Any]]) -> Serialized:
    return Serialized(kind, plain, {name: HostArray(*each) for name, each in arrays.items()})


def _value_of(
    imported: type[ArrayValue], kind: str | None, plain: Any, arrays: dict[str, tuple[str, str, Any]]
) -> Any:
    """The value, whose class is named so that it is imported first."""
    return deserialize(_serialized(kind, plain, arrays))


def _array_of(plain: Any, arrays: dict[str, tuple[str, str, Any]]) -> Any:
    return deserialize_items(_serialized(None, plain, arrays))[_ARRAY]


@dask_serialize.register(Parcel)  # type: ignore[untyped-decorator]
def _parcel_to_frames(parcel: Parcel) -> tuple[dict[str, Any], list[Any]]:
    return {}, [parcel.head, *parcel.buffers]


@dask_deserialize.register(Parcel)  # type: ignore[untyped-decorator]
def _parcel_from_frames(header: dict[str, Any], frames: list[Any]) -> Parcel:
    head, *buffers = frames
    return Parcel(bytes(head), buffers)


@dask_serialize.register(ArrayValue)  # type: ignore[untyped-decorator]
def _to_frames(value: ArrayValue) -> tuple[dict[str, Any], list[Any]]:
    """How dask itself sends one of our values."""
    return _parcel_to_frames(pack(value))  # type: ignore[no-any-return]


@dask_deserialize.register(ArrayValue)  # type: ignore[untyped-decorator]
def _from_frames(header: dict[str, Any], frames: list[Any]) -> ArrayValue:
    value: ArrayValue = unpack(_parcel_from_frames(header, frames))
    return value
