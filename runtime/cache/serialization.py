"""Values as plain data and arrays, the way back, and their digests.

A value that travels along links is a plain JSON value, a tuple, or a dataclass of :mod:`runtime.values` (or
another package's that derives from :class:`runtime.array_value.ArrayValue`), whose fields are numpy or MLX
arrays, plain values, and tuples of arrays and of such dataclasses. Nothing else, such as a model handle, can
be serialized: it is not written to disk, and has a digest only if it gives one itself.

Two values have the same digest exactly if they are the same to the bit, including dtypes, shapes and the
record of how pictures were made; the file format does not matter. Importing this module imports neither numpy
nor MLX.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from typing import Any
from weakref import WeakKeyDictionary

from run_graph.graph.sockets import SocketValue
from run_graph.runtime.array_value import ArrayValue, array_library
from run_graph.runtime.generation import Generation, PictureFile, Reference

_NESTED = "."  # between the parts of the name of an array that lies within a field's value
_NOTES = {note.__name__: note for note in (Generation, PictureFile, Reference)}
_DIGESTS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


class NotSerializable(TypeError):
    """A value cannot be serialized."""


@dataclass(frozen=True)
class HostArray:
    """An array on the host.

    Attributes
    ----------
    library : str
        ``"numpy"`` or ``"mlx"``: what it was, and will be again.
    dtype : str
        That library's name for its dtype, such as ``"bfloat16"``.
    values : numpy array
        C-contiguous. Dtypes that numpy lacks are stored as unsigned integers of the same width.
    """

    library: str
    dtype: str
    values: Any


@dataclass(frozen=True)
class Serialized:
    """A serialized value: its class (None for a plain value), its plain data as JSON, its arrays."""

    kind: str | None
    plain: Any
    arrays: Mapping[str, HostArray]

    def digest(self) -> str:
        """SHA-256 in 64 hexadecimal digits."""
        shapes = {
            name: [array.library, array.dtype, array.values.shape] for name, array in self.arrays.items()
        }
        total = hashlib.sha256(json.dumps([self.kind, self.plain, shapes], sort_keys=True).encode())
        for name in sorted(self.arrays):
            total.update(self.arrays[name].values.reshape(-1).view("uint8"))
        return total.hexdigest()


def serialize(value: Any) -> Serialized:
    """The value as plain data and arrays. Raises NotSerializable."""
    if not isinstance(value, ArrayValue):
        return Serialized(None, _to_json(value), {})
    if not is_dataclass(value):
        raise NotSerializable(f"{type(value).__name__} is not a dataclass")
    return serialize_items({each.name: getattr(value, each.name) for each in fields(value)}, type(value))


def serialize_items(items: Mapping[str, Any], kind: type | None = None) -> Serialized:
    """Named arrays and plain values, which may be the fields of a ``kind``. Raises NotSerializable."""
    arrays = {name: _to_host(item) for name, item in items.items() if array_library(item) is not None}
    plain = {name: _to_json(item, arrays, name) for name, item in items.items() if name not in arrays}
    return Serialized(None if kind is None else _name(kind), plain, arrays)


def deserialize(serialized: Serialized) -> Any:
    """The value; the same to the bit.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it does not fit the value classes of this version.
    """
    if serialized.kind is None:
        return _from_json(serialized.plain, {})
    return _made(serialized.kind, deserialize_items(serialized))


def _made(name: str, items: dict[str, Any]) -> ArrayValue:
    """A value of the class with this name."""
    kind = next((kind for kind in _kinds(ArrayValue) if _name(kind) == name), None)
    if kind is None:
        raise ValueError(f"there is no value class {name}")
    late = {each.name: items.pop(each.name) for each in fields(kind) if not each.init}  # type: ignore[arg-type]
    value = kind(**items)
    for field, item in late.items():
        object.__setattr__(value, field, item)  # frozen, and not taken by its constructor
    return value


def deserialize_items(serialized: Serialized) -> dict[str, Any]:
    """The inverse of `serialize_items`."""
    arrays = {name: _from_host(array) for name, array in serialized.arrays.items()}
    own = {name: array for name, array in arrays.items() if _NESTED not in name}
    return {name: _from_json(item, arrays) for name, item in serialized.plain.items()} | own


def digest_of(value: Any) -> str | None:
    """A text that differs between different values and is the same in every process, or None.

    For numbers and other short plain values their JSON, else a SHA-256. For values that cannot be serialized
    what they say themselves, which may be None.
    """
    if type(value) is int and -(2**63) <= value < 2**63:
        return repr(value)
    if isinstance(value, SocketValue) and not isinstance(value, ArrayValue):
        return value.digest
    try:
        if not isinstance(value, ArrayValue):
            text = json.dumps(_to_json(value), sort_keys=True)
            return text if len(text) < 64 else hashlib.sha256(text.encode()).hexdigest()
        known = _known_digest(value)
        return remember_digest(value, serialize(value).digest()) if known is None else known
    except (NotSerializable, ValueError, RecursionError):
        return None


def remember_digest(value: Any, digest: str) -> str:
    """Remember the digest of a value, which is immutable, for as long as it lives."""
    if isinstance(value, ArrayValue):
        with suppress(TypeError):  # a class whose values cannot be hashed
            _DIGESTS[value] = digest
    return digest


def _known_digest(value: ArrayValue) -> str | None:
    with suppress(TypeError):
        return _DIGESTS.get(value)
    return None


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _kinds(kind: type[ArrayValue]) -> Iterator[type[ArrayValue]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def _to_host(array: Any) -> HostArray:
    import numpy as np

    if array_library(array) == "mlx":
        import mlx.core as mx

        dtype = str(array.dtype).removeprefix("mlx.core.")
        return HostArray("mlx", dtype, np.array(array.view(mx.uint16) if dtype == "bfloat16" else array))
    if array.dtype.hasobject:
        raise NotSerializable("an array of objects")
    return HostArray("numpy", array.dtype.name, np.ascontiguousarray(array).reshape(array.shape))


def _from_host(array: HostArray) -> Any:
    if array.library == "numpy":
        array.values.flags.writeable = False  # as it was when the node had returned it
        return array.values
    import mlx.core as mx

    made = mx.array(array.values)
    return made.view(mx.bfloat16) if array.dtype == "bfloat16" else made


def _to_json(value: Any, arrays: dict[str, HostArray] | None = None, path: str = "") -> Any:
    """Lists stay lists; tuples, dicts and notes become an object whose only name is their kind.

    Arrays and values made of arrays are taken if ``arrays`` is given: the arrays are added to it, under names
    that begin with ``path``.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        if value != value or value in (float("inf"), float("-inf")):
            raise NotSerializable("a number that JSON cannot express")
        return value
    if kind is list:
        return [_to_json(item) for item in value]
    if kind is tuple:
        return {
            "tuple": [_to_json(item, arrays, f"{path}{_NESTED}{index}") for index, item in enumerate(value)]
        }
    if kind is dict and all(type(name) is str for name in value):
        return {"dict": {name: _to_json(item) for name, item in value.items()}}
    if kind in _NOTES.values():
        return {kind.__name__: {each.name: _to_json(getattr(value, each.name)) for each in fields(value)}}
    if arrays is not None and array_library(value) is not None:
        arrays[path] = _to_host(value)
        return {"array": path}
    if arrays is not None and isinstance(value, ArrayValue) and is_dataclass(value):
        items = {
            each.name: _to_json(getattr(value, each.name), arrays, f"{path}{_NESTED}{each.name}")
            for each in fields(value)
        }
        return {"value": [_name(kind), items]}
    raise NotSerializable(f"{kind.__name__} is not a plain value")


def _from_json(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_from_json(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "tuple":
        return tuple(_from_json(item, arrays) for item in content)
    if kind == "array":
        return arrays[content]
    if kind == "value":
        name, items = content
        return _made(name, {field: _from_json(item, arrays) for field, item in items.items()})
    members = {name: _from_json(item, arrays) for name, item in content.items()}
    return members if kind == "dict" else _NOTES[kind](**members)
